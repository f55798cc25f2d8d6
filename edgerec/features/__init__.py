"""Features: one specification and one NumPy encoder. Samples and the device use both of them (Table 1)."""
