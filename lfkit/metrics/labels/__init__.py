"""How good votes and labels are: diagnosis, agreement, run summary."""
