"""The loop closes (section 2.1): logs of devices train the next model, round after round."""
