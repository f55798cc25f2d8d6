"""What stands in front of the routes: who may ask and how often, and what can be seen from outside (docs/cloud.md)."""
