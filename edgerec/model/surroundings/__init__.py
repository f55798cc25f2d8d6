"""The evaluation of click rates given the cards around a card, and the ablation of ESAN (docs/mixing.md)."""
