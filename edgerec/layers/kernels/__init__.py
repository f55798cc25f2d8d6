"""Functions with a hand-written gradient. XLA compiles them once for each shape of input (docs/training.md, Speed)."""
