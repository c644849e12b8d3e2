"""clbench: a continual-learning benchmark harness that keeps every prediction."""

__version__ = "0.1.0"
