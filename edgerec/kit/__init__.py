"""The device kit: one archive that verifies and measures a bundle on a board or phone with Python."""
