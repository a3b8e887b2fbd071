"""What each command does, one readable recipe a file."""
