"""What a device and the cloud send to each other: pages, items, logs."""
