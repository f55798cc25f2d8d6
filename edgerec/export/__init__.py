"""Taking a trained model apart: device graphs, MNN conversion, proof and bundle."""
