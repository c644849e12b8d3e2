"""Tracking: runs are recorded in MLflow, as a copy of the results on disk that can be completed later."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clbench.benchmarks.tracking.avalanche_logger import AvalancheMLflowLogger

__all__ = ["AvalancheMLflowLogger"]


def __getattr__(name: str) -> object:
    """Import the logger for Avalanche when it is asked for: `import avalanche` takes seconds."""
    if name == "AvalancheMLflowLogger":
        from clbench.benchmarks.tracking.avalanche_logger import AvalancheMLflowLogger

        return AvalancheMLflowLogger
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
