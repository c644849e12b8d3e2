"""Published text data sets of continual learning: their facts, and the rows made from their files."""
