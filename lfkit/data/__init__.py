"""Images, votes, labels and seeds, and the files they come in and go out by."""
