"""Kubernetes as the product uses it: apply, watch, read and delete objects that are dicts."""
