"""Personal patches on the device: a re-rank with the user's patch, and its training (docs/personalization.md)."""
