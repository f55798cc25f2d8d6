"""Benchmarks of the device models, of the embedding tables and of the training, compared with other engines (peers)."""
