"""What the images of a run look like, and which of them look wrong."""
