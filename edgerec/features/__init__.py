"""The feature system: one specification and one numpy encoder for samples and device alike (Table 1)."""
