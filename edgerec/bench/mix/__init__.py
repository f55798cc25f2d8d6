"""Measurements of the solvers of a mixed feed: their time, and how far they are from the best plan."""
