"""What mixing learns from logs: calibration, how far users look, when they leave, and prices (docs/mixing.md)."""
