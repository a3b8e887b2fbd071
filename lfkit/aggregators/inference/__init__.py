"""The likelihood of votes, EM, dependencies, sampling: what aggregators share."""
