"""`lfkit active`: query rules, oracles, annotation files, rounds."""
