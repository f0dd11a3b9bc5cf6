"""What has a study cost?

Read from the trials alone: each says how long it ran, and its run has written how many
GPUs it held and what they drew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from optuna.study import Study
from optuna.trial import FrozenTrial

COST_ATTR = "paperstart.cost"
"""Trial attribute: ``gpus`` held, ``gpu_hours``, ``energy_kwh`` (or ``None``)."""
NO_GPU = "No GPU was used, so there are no GPU-hours and no energy to count."


@dataclass(frozen=True)
class Cost:
    """What a study, or one trial, has cost.

    Attributes:
        hours: of training, summed over the trials.
        wall_hours: during which at least one trial ran.
        gpu_hours: hours times GPUs, summed.
        energy_kwh: drawn by these GPUs; ``None`` where they do not say.
        price_per_gpu_hour: in the user's own money; ``None`` if nobody said.
    """

    hours: float
    wall_hours: float
    gpu_hours: float
    energy_kwh: float | None
    price_per_gpu_hour: float | None = None

    @property
    def money(self) -> float | None:
        """The GPU-hours in money, if a price is known."""
        if self.price_per_gpu_hour is None:
            return None
        return self.gpu_hours * self.price_per_gpu_hour

    def sentence(self) -> str:
        """The cost in a line."""
        said = [f"{hours_text(self.wall_hours)} on the clock"]
        if self.hours > self.wall_hours * 1.05:
            said.append(f"{hours_text(self.hours)} of training")
        if self.gpu_hours == 0:
            return f"{', '.join(said)}. {NO_GPU}"
        said.append(f"{self.gpu_hours:.3g} GPU-hours")
        if self.energy_kwh is not None:
            said.append(f"{self.energy_kwh:.3g} kWh")
        if self.money is not None:
            said.append(f"{self.money:.2f} at {self.price_per_gpu_hour:g} per GPU-hour")
        return ", ".join(said) + "."


@dataclass(frozen=True)
class Budget:
    """What a study may cost, over all calls, workers and machines.

    Attributes:
        hours: during which at least one trial runs; ``None`` for as many as it takes.
        gpu_hours: summed over the trials; ``None`` likewise.
    """

    hours: float | None = None
    gpu_hours: float | None = None

    def spent_by(self, study: Study) -> str | None:
        """Why no further trial may begin, in a sentence; ``None`` if one may."""
        if self.hours is None and self.gpu_hours is None:
            return None
        cost = cost_of(study)
        if self.hours is not None and cost.wall_hours >= self.hours:
            return (
                f"The budget of {self.hours:g} hours is spent: the trials took "
                f"{cost.wall_hours:.3g}."
            )
        if self.gpu_hours is not None and cost.gpu_hours >= self.gpu_hours:
            return (
                f"The budget of {self.gpu_hours:g} GPU-hours is spent: the trials took "
                f"{cost.gpu_hours:.3g}."
            )
        return None


def cost_of(study: Study, price_per_gpu_hour: float | None = None) -> Cost:
    """What all trials of a study have cost until now, those in flight included."""
    trials = study.get_trials(deepcopy=False)
    spans = [span for span in map(_span, trials) if span is not None]
    said = [trial.user_attrs.get(COST_ATTR, {}) for trial in trials]
    energies = [one["energy_kwh"] for one in said if one.get("energy_kwh") is not None]
    return Cost(
        hours=sum(_hours(end - start) for start, end in spans),
        wall_hours=_hours(_union(spans)),
        gpu_hours=sum(float(one.get("gpu_hours", 0.0)) for one in said),
        energy_kwh=sum(energies) if energies else None,
        price_per_gpu_hour=price_per_gpu_hour,
    )


def hours_text(hours: float) -> str:
    """A length of time as people say it: ``42 s``, ``7.5 min``, ``3.2 h``."""
    seconds = hours * 3600
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if hours < 1 else f"{hours:.1f} h"


def _span(trial: FrozenTrial) -> tuple[datetime, datetime] | None:
    start = trial.datetime_start
    if start is None:
        return None
    end = trial.datetime_complete
    if end is None:  # in flight
        end = datetime.now()
    return start, max(start, end)


def _union(spans: Iterable[tuple[datetime, datetime]]) -> timedelta:
    total, reached = timedelta(), datetime.min
    for start, end in sorted(spans):
        total += max(timedelta(), end - max(start, reached))
        reached = max(reached, end)
    return total


def _hours(length: timedelta) -> float:
    return length.total_seconds() / 3600
