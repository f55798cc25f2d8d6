"""A seeded world of items and users that writes logs."""
