"""The page of `edgerec explain`."""
