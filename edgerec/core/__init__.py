"""Errors, atomic files, hashing, console, statistics and the bundle manifest: what every part stands on."""
