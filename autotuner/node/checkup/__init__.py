"""What `autotuner doctor` checks on a node: one module per kind, without Ray."""
