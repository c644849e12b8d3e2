"""Published text data sets of continual learning: what is known of them, and how their files become rows."""
