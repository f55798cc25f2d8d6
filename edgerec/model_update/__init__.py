"""New model versions on a device: download, check, install, and the switch of a running client."""
