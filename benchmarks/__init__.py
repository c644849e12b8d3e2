"""Benchmarks: suites, the runner, the evaluator and the tracking of runs."""
