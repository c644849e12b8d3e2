"""The family of vision transformers: one backbone, and a head for each task."""
