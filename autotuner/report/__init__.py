"""Showing a study: one HTML file that needs nothing else."""
