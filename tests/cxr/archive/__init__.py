"""Archive jobs."""
