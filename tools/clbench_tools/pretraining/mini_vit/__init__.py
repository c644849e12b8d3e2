"""Pre-training of mini-vit."""
