"""Heat maps, embeddings and drawings of architectures."""
