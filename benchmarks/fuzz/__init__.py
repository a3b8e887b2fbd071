"""A fuzz campaign: damaged and odd files for every command (`make fuzz`)."""
