"""Load and memory of the machine while a cell runs, if MLflow's own variable asks for it."""

from typing import Any, cast


class SystemMetrics:
    """A monitor for each run while it is open; none unless `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING` is true.

    Args:
        uri: Address of the tracking store.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._monitors: dict[str, Any] = {}  # MLflow has no types here

    def start(self, run: str) -> None:
        """Begin to measure; a run that is measured already goes on."""
        from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING

        if not cast(Any, MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING).get() or run in self._monitors:
            return
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitors[run] = cast(Any, SystemMetricsMonitor)(run, resume_logging=True, tracking_uri=self._uri)
        self._monitors[run].start()

    def stop(self, run: str | None = None) -> None:
        """End the measurement of a run, or of all."""
        for known in list(self._monitors):
            if run in (None, known):
                self._monitors.pop(known).finish()
