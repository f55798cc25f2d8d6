"""The behaviour store of a device: behaviours, their encodings and the rows that are not sent yet, in SQLite."""
