"""Who is told what of the batch-norm layers?"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from paperstart._alarm_text import ALARMS_TAG, with_alarms
from paperstart._bn_alarms import BatchNormAlarm, alarms_markdown, alarms_text
from paperstart.tracking import RunLog

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

FOLDER = "batchnorm"
DESCRIPTION_TAG = "mlflow.note.content"


class Sink(Protocol):
    """One place that is told about a run. `put` is called from another thread.

    Attributes:
        in_background: whether numbers and alarms may come from another thread, too.
    """

    in_background: bool

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """The numbers of one step, by their full names."""

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """What is known once for a run."""

    def set_alarms(self, alarms: Sequence[BatchNormAlarm]) -> None:
        """All alarms so far."""

    def put(self, path: Path) -> None:
        """Keep a copy of a file, in place of an older one of its name."""

    def earlier_table(self, folder: Path) -> Path | None:
        """The table of an earlier part of the same run, copied to ``folder``."""

    def close(self) -> None:
        """There is nothing more to come."""


class RunSink:
    """A run in MLflow: metrics, tags, files, and its description.

    Args:
        run: the run.
        is_own: whether the run is to be flushed at the end; another closes it if not.
    """

    in_background = True

    def __init__(self, run: RunLog, *, is_own: bool = False) -> None:
        self._run = run
        self._is_own = is_own
        known = run.known_tags if run.is_resumed else {}
        self._earlier = known.get(ALARMS_TAG, "")

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self._run.log_metrics(values, step)

    def set_facts(self, facts: Mapping[str, str]) -> None:
        self._run.set_tags({f"paperstart.batchnorm.{n}": v for n, v in facts.items()})

    def set_alarms(self, alarms: Sequence[BatchNormAlarm]) -> None:
        text = alarms_text(alarms, self._earlier)
        tags = {ALARMS_TAG: text}
        if not self._run.is_away:  # to read what the description says takes an answer
            own = self._run.tag(DESCRIPTION_TAG)
            tags[DESCRIPTION_TAG] = with_alarms(own, text)
        self._run.set_tags(tags)

    def put(self, path: Path) -> None:
        self._run.log_file(path, FOLDER)

    def earlier_table(self, folder: Path) -> Path | None:
        if not self._run.is_resumed:
            return None
        return self._run.fetch_file(f"{FOLDER}/table.npz", folder)

    def close(self) -> None:
        if self._is_own:
            self._run.close()


class LoggerSink:
    """Any other logger of Lightning's: it takes numbers, in the thread that trains."""

    in_background = False

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        self._logger.log_metrics(dict(values), step)

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Not for a logger: its hyperparameters are the user's own."""

    def set_alarms(self, alarms: Sequence[BatchNormAlarm]) -> None:
        """Not for a logger: it has no place for words."""

    def put(self, path: Path) -> None:
        """Not for a logger: it takes no files."""

    def earlier_table(self, folder: Path) -> Path | None:
        return None

    def close(self) -> None:
        """The trainer closes it."""


class FolderSink:
    """A folder, where no MLflow run takes the files."""

    in_background = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """The table has them."""

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """``layers.csv`` has them."""

    def set_alarms(self, alarms: Sequence[BatchNormAlarm]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "alarms.md"
        path.write_text(alarms_markdown(alarms), encoding="utf-8")

    def put(self, path: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self._folder / path.name)

    def earlier_table(self, folder: Path) -> Path | None:
        return None

    def close(self) -> None:
        """Nothing is open."""


def logger_sinks(loggers: Sequence[Logger]) -> list[Sink]:
    """One for each logger; of Lightning's MLFlowLogger, its run in the background."""
    return [
        _run_sink(logger) if _is_mlflow(logger) else LoggerSink(logger)
        for logger in loggers
    ]


def folder_sink(loggers: Sequence[Logger], folder: Path | None) -> list[Sink]:
    """Where files go: to ``folder``, or beside a logger's own if MLflow has none."""
    if folder is not None:
        return [FolderSink(folder)]
    if any(_is_mlflow(logger) for logger in loggers):
        return []
    # Not `trainer.log_dir`: it is to be asked on all ranks at once.
    for logger in loggers:
        own = getattr(logger, "log_dir", None) or logger.save_dir
        if own is not None:
            return [FolderSink(Path(own) / FOLDER)]
    return []


def _is_mlflow(logger: Any) -> bool:
    # By name, since two packages have such a class, and neither is loaded for it.
    return any(kind.__name__ == "MLFlowLogger" for kind in type(logger).__mro__)


def _run_sink(logger: Any) -> RunSink:
    return RunSink(RunLog(logger.experiment, logger.run_id), is_own=True)
