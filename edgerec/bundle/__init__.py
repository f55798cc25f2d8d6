"""Everything about a bundle's folder: manifests, signatures, golden cases; code to load, check and describe it."""
