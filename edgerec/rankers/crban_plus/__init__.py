"""CRBAN+: our own model."""
