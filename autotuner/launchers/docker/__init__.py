"""Servers as Docker containers on the node of the attempt."""
