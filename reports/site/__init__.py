"""The leaderboard as a static site: an overview, a page for each stream, a page for each cell."""
