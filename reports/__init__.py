"""What is made of results: metrics, the leaderboard and figures; no torch, and no other room but the core."""
