"""As-of columns: counts, rates and times that are computed from the events before an instant (docs/features.md)."""
