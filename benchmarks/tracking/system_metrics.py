"""Load and memory of the machine while a cell runs, if MLflow's own variable asks for it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor


class SystemMetrics:
    """A monitor for each run while it is open; none unless `MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING` is true.

    Args:
        uri: Address of the tracking store.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._monitors: dict[str, SystemMetricsMonitor] = {}

    def start(self, run: str) -> None:
        """Begin to measure; a run that is measured already goes on."""
        from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING as ASKED

        if not ASKED.get() or run in self._monitors:
            return
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        self._monitors[run] = SystemMetricsMonitor(run, resume_logging=True, tracking_uri=self._uri)
        self._monitors[run].start()

    def stop(self, run: str | None = None) -> None:
        """End the measurement of a run, or of all."""
        for known in list(self._monitors) if run is None else [run] if run in self._monitors else []:
            self._monitors.pop(known).finish()
