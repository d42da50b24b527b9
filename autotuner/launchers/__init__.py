"""AS WHAT a server starts: a process; later a container or a Kubernetes object."""
