"""Features: numbers that many labeling functions read."""
