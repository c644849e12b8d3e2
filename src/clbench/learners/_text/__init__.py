"""The family of language models: they read inputs, and write or choose answers."""
