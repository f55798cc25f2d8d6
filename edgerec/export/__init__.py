"""The export: it splits a trained model, converts it to MNN, checks parity and writes a bundle."""
