"""Losses of scans: perceptual features, R images, and the divergence of a latent from its prior."""
