"""What runs on the device: MNN sessions, the HUBSM stepper and the CRBAN ranker. Needs MNN and numpy only."""
