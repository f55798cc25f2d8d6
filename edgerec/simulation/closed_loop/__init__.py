"""The closed loop: a simulated user in front of a real client, its store, its models and the cloud (RS)."""
