"""Updates of a model: the base changes, the tasks stay."""
