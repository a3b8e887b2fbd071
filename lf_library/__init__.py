"""Labeling functions for well-known image sets, written with lfkit's public API."""
