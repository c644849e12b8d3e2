"""Vision transformers with a head for each task."""
