"""genai-bench in the Kubernetes cluster, as an OME BenchmarkJob for each level."""
