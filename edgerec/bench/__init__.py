"""Measuring: latencies with their environment, and peers beside them."""
