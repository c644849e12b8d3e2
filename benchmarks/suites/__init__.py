"""Suites: YAML files that name cells."""
