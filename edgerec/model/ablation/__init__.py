"""Ablation: Table 2 on any samples, with all models, several seeds, and a paired test against DLCM (section 4)."""
