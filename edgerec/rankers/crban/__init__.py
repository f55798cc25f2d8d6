"""CRBAN: the model of the paper, and its ablations."""
