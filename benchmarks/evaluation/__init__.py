"""Every version is tested on every task, and every prediction is kept."""
