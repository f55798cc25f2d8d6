"""Logs and samples: the log schema, readers of public data sets, and the way from logs to samples."""
