"""`edgerec bench cloud`: how many pages and log rows the server takes, and how fast (docs/bench.md)."""
