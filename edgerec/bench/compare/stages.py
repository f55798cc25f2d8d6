"""The stages that two builds can be compared in. The command line reads this without loading NumPy."""

STAGES = ("step", "rerank", "behaviour", "response")
