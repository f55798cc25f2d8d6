"""The simulator: a seeded world of items and users whose behaviour is written as logs."""
