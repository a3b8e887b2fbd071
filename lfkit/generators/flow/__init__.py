"""Flow matching: images from noise by a velocity that a network has learned."""
