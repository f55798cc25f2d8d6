"""The statistics of a simulated A/B test: metrics, uplifts with intervals, power, A/A test, click rates by position."""
