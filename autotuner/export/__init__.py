"""A measured configuration as something to deploy: shell, containers, clusters, JSON."""
