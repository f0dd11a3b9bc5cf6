"""What do CPU, memory and GPU do during a run?"""

from __future__ import annotations

import logging

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

_logger = logging.getLogger(__name__)


class SystemMetrics:
    """Samples into the ``system/`` metrics of a running run, in a thread.

    MLflow itself does so only for the run of ``mlflow.start_run``.
    """

    def __init__(self, run_id: str, tracking_uri: str, interval_s: float) -> None:
        self._monitor = SystemMetricsMonitor(
            run_id, interval_s, resume_logging=True, tracking_uri=tracking_uri
        )
        self._first_step = self._monitor._logging_step
        self._monitor.start()

    def finish(self) -> None:
        """Stop the thread; a run shorter than the interval still gets one sample."""
        monitor = self._monitor
        monitor.finish()
        if monitor._logging_step > self._first_step:
            return
        try:
            # What the thread took at once had no load to measure yet.
            for part in monitor.monitors:
                part.clear_metrics()
            monitor.collect_metrics()
            monitor.publish_metrics(monitor.aggregate_metrics())
            monitor.mlflow_logger.flush()
        except Exception as error:  # as in MLflow's thread: no training stops for it
            _logger.warning("Failed to log system metrics: %s", error)
