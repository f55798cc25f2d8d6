"""DLCM: the baseline of the tests in Table 2."""
