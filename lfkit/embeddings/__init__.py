"""Features of networks: trained on the seeds, or frozen."""
