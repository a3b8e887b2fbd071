"""The report, one HTML page of what a run has, and sheets of its images."""
