"""Statistics of logs: counts of each partition of users, their sums, and a document made from the sums."""
