"""ONNX building blocks of the graphs that MNN runs on the device."""
