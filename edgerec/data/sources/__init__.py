"""Readers of public data sets: each makes logs."""
