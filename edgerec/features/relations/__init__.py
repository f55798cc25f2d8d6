"""Relations: numbers that compare a candidate with the user's latest behaviours (docs/features.md)."""
