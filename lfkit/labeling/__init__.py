"""Labeling functions, their thresholds, and the applier that makes votes with them."""
