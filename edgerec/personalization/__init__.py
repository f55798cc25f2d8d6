"""One model a user: a patch of a few numbers, which the device trains from the user's own requests.

See docs/personalization.md. Everything here runs on the device, with NumPy alone.
"""
