"""Files of run folders: reading those that may be damaged."""
