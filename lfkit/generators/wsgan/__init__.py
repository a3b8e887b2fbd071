"""WSGAN: codes that are tied to votes, which it learns to weigh."""
