"""A bundle's folder: its manifests, signatures and golden cases; reading, checking and describing it."""
