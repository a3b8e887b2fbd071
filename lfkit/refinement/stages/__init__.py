"""The stages of refinement, one a file."""
