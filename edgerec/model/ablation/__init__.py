"""Table 2 on any samples: every model, several seeds, a paired test against DLCM (section 4)."""
