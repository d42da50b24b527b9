"""WHERE: executors that carry attempts to nodes."""
