"""The ablation. It trains all models with several seeds and compares them with DLCM, as in Table 2 (section 4)."""
