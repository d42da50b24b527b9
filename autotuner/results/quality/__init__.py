"""What could be wrong with a study's numbers, and what to do about it."""
