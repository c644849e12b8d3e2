"""Challenge metrics of image tasks, computed from ledger rows: one file a kind, in pixels, units and shares."""
