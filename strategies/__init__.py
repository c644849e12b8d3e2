"""Strategies: what turns version t of a model into version t + 1. Each strategy is one file."""
