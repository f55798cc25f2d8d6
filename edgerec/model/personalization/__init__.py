"""What is learnt off the device for personal patches, and how well they do (docs/personalization.md)."""
