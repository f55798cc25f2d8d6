"""Mixing: cards of several kinds in one feed, in an order that follows rules (docs/mixing.md)."""
