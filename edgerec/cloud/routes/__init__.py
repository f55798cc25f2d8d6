"""The routes of the HTTP interface, one group a file (docs/cloud.md)."""
