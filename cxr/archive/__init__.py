"""Archive jobs: planned, begun, followed, gone on with and summed up."""
