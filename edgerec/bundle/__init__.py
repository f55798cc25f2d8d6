"""Everything about a bundle's folder: manifests, signatures, golden cases; code that loads, checks and describes it."""
