"""What do CPU, memory and GPU do during a run?"""

from __future__ import annotations

import logging
import threading

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from paperstart._gpu import GpuMeter
from paperstart._run_log import RunLog

_logger = logging.getLogger(__name__)


class SystemMetrics:
    """Samples into the ``system/`` metrics of a run, in a thread.

    MLflow's own monitors take the samples. Its thread would ask the server for the
    run's status at each of them, and end at the first one that is not answered; ours
    asks nobody, and what it logs goes the way of all metrics.
    """

    def __init__(self, run: RunLog, interval_s: float, meter: GpuMeter) -> None:
        self._run, self._meter, self._interval_s = run, meter, interval_s
        self._monitor = SystemMetricsMonitor(
            run.run_id, interval_s, tracking_uri=run.uri
        )
        self._step = _next_step(run)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._sample_all, name="paperstart-system", daemon=True
        )
        self._samples = 0
        self._thread.start()

    def finish(self) -> None:
        """Stop the thread; a run shorter than the interval still gets one sample."""
        self._stop.set()
        self._thread.join()
        if not self._samples:
            self._sample()

    def _sample_all(self) -> None:
        for part in self._monitor.monitors:  # a process's first look has no load yet
            part.collect_metrics()
        while not self._stop.wait(self._interval_s):
            self._sample()

    def _sample(self) -> None:
        found: dict[str, float] = {}
        try:
            for part in self._monitor.monitors:
                part.clear_metrics()
                part.collect_metrics()
                found |= part.aggregate_metrics()
            found |= self._meter.metrics()
        except Exception as error:  # as in MLflow's thread: no training stops for it
            _logger.warning("Failed to take system metrics: %s", error)
        self._run.log_metrics({f"system/{n}": v for n, v in found.items()}, self._step)
        self._step += 1
        self._samples += 1


def _next_step(run: RunLog) -> int:
    """The step after the last sample of a run that is resumed."""
    steps = [m.step for m in run.known_metrics if m.key.startswith("system/")]
    return max(steps) + 1 if steps else 0
