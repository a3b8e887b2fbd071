"""Thresholds and rules that are fitted to images or to seeds."""
