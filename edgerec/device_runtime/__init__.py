"""The device runtime: MNN sessions, the HUBSM stepper and the CRBAN ranker. It needs only MNN and NumPy."""
