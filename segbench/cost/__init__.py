"""Parameters, FLOPs, latency, throughput and memory of a model."""
