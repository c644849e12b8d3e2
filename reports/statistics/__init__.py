"""Intervals, tests and ranks over seeds, test samples, tasks and methods; pure functions of numbers."""
