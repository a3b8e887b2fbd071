"""Evaluates functions on images: batches, workers, blocks, fits."""
