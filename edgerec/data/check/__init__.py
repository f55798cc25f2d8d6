"""What `edgerec check` finds in logs: every error at once, and warnings about what spoils a model."""
