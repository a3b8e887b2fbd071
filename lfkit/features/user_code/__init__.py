"""Calls of users' functions, and what they are given to read."""
