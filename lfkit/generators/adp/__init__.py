"""Adversarial Data Programming, in the form that works."""
