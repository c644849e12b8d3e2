"""What every room uses: errors, settings, registries, cards, files that appear whole, randomness by name."""
