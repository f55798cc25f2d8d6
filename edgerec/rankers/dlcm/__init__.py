"""DLCM: the peer that Table 2 tests against."""
