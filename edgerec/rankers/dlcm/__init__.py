"""DLCM: the baseline that Table 2 tests against."""
