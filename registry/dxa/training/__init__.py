"""Training: scans as networks read them, the shared loop, checkpoints, device and random numbers."""
