"""What each command of the command line does, one recipe a file."""
