"""Official metrics of tasks of images, from the rows of a ledger: one file a kind, in pixels, units and shares."""
