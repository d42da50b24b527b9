"""WHAT CAME OUT: schema, store, aggregation, score."""
