"""Makes the pages of the documentation that are computed from what is registered."""
