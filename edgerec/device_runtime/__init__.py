"""The device runtime: MNN sessions, the HUBSM stepper and the ranker. It needs only MNN and NumPy."""
