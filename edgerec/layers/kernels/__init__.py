"""Functions with a hand-written gradient. XLA can compile them for each shape of input (docs/training.md, Speed)."""
