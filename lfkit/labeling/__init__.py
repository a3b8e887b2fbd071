"""Labeling functions, their thresholds, and the applier that makes votes of them."""
