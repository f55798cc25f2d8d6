"""The graphs that run on the device, written for MNN."""
