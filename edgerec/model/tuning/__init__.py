"""The search for settings: it trains several configurations and keeps the one with the best validation GAUC."""
