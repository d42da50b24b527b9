"""Servers as pods, plain or made by OME, in a Kubernetes cluster."""
