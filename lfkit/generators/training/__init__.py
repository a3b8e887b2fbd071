"""What every training of a generator writes and watches."""
