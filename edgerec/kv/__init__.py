"""Key-value stores for embedding tables."""
