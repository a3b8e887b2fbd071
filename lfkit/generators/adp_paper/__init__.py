"""Adversarial Data Programming, as the paper has it."""
