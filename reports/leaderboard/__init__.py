"""The leaderboard: runs in MLflow become one page of tables, means over seeds and mean accuracy matrices."""
