"""A/B tests in a simulated world: buckets, designs, and what the differences between buckets mean."""
