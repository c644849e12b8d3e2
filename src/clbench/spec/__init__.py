"""What a benchmark is made of, free of torch: tasks, streams, the ledger."""
