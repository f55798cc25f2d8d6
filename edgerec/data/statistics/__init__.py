"""What logs are like: figures over partitions of users, a table, a page of plots."""
