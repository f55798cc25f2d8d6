"""Functions with gradients of their own, compiled by XLA for each shape that comes (docs/training.md, Speed)."""
