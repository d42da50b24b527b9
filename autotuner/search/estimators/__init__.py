"""What a configuration may do, before it is measured."""
