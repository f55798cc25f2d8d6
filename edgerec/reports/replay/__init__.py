"""The page of `edgerec replay`."""
