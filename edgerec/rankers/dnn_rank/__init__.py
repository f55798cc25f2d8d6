"""DNN-rank: the baseline of Table 2."""
