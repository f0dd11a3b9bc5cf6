"""Who runs the trials?

One local worker: it takes trials from the study, runs the objective, and sees to it
that the study in Optuna and the runs in MLflow tell the same story, also when a trial
fails or somebody stops the search.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import optuna
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial, Trial, TrialState

from paperstart._cost import Budget
from paperstart._failures import in_a_line, stop_if_broken
from paperstart._history import INTERRUPTED_ATTR, finished_trials
from paperstart._interrupt import StopGate
from paperstart._objective import Objective, takes_recipe
from paperstart._ranks import (
    FollowedTrial,
    announce,
    begin_launch,
    end_launch,
    follow,
)
from paperstart._search_result import Progress, SearchResult
from paperstart._store import locked
from paperstart._study_facts import PRICE_ATTR, RECIPE_ATTR
from paperstart._study_log import StudyLog
from paperstart._worker import WORKER_ATTR, abandoned_trials, this_worker
from paperstart.errors import SearchError
from paperstart.pruner import PaperStartPruner
from paperstart.recipe import Recipe
from paperstart.sampler import PaperStartSampler

TARGET_ATTR = "paperstart.target"

PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "paper": PaperStartPruner,
    "sha": optuna.pruners.SuccessiveHalvingPruner,
}

Direction = Literal["minimize", "maximize"]


@dataclass
class Search:
    """One worker's search; `run` does it.

    Attributes:
        objective: called with a trial, or with a trial and the recipe; gives the value.
        recipe: where the search starts.
        study_name: name of the study in Optuna and of the experiment in MLflow.
        storage: Optuna's storage URL.
        tracking_uri: MLflow's, or ``None`` for the one in use.
        seed: of the sampler.
        pruner: one of `PRUNERS`.
        direction: ``minimize`` or ``maximize``.
        progress: who is told how far it is.
        budget: what the study may cost, over all calls and workers.
        price_per_gpu_hour: in the user's own money, for the report.
    """

    objective: Objective
    recipe: Recipe
    study_name: str
    storage: str
    tracking_uri: str | None = None
    seed: int | None = None
    pruner: str = "median"
    direction: Direction = "minimize"
    progress: Progress | None = None
    budget: Budget = field(default_factory=Budget)
    price_per_gpu_hour: float | None = None
    _gate: StopGate = field(default_factory=StopGate, repr=False)
    _log: StudyLog | None = field(default=None, repr=False)
    _error: BaseException | None = field(default=None, repr=False)
    _launch: str = field(default="", repr=False)
    _spent_budget: str | None = field(default=None, repr=False)

    def run(self, trials: int, *, in_all: bool = False) -> SearchResult:
        """Run ``trials`` more trials, or as many as an interrupted call left to run.

        Args:
            trials: how many.
            in_all: count those of earlier calls, so that a repeated call adds none.

        Raises:
            SearchError: the study does not fit, or its first trials all failed.
        """
        if trials < 1:
            raise SearchError(f"{trials} trials were asked for; ask for at least 1.")
        with self._gate.watch():
            study = self._open_study()
            self._launch = begin_launch()
            log = StudyLog(study, self.recipe, self.tracking_uri)
            self._log = log
            for trial in abandoned_trials(study):
                self._give_up(study, trial)
            target = _target(study, trials, in_all)
            self._tell_progress("start", len(finished_trials(study.trials)), target)
            try:
                self._run_until(study, log, target)
            finally:
                self._tell_progress("stop")
                end_launch(study, self._launch)
                log.close(self._gate.asked)
        return SearchResult(
            study=study,
            recipe=self.recipe,
            spent=len(finished_trials(study.trials)),
            target=target,
            interrupted=self._gate.asked,
            spent_budget=self._spent_budget,
            tracking_uri=log.uri,
            experiment_id=log.experiment_id,
            parent_id=log.parent_id,
        )

    def follow(self) -> None:
        """On another rank than 0: train along with its trials, and write nothing."""
        follow(self._open_study(), self._train_along)

    def _train_along(self, trial: FollowedTrial) -> None:
        with contextlib.suppress(optuna.TrialPruned):
            self._call(trial)

    def _call(self, trial: BaseTrial) -> float:
        if takes_recipe(self.objective):
            return self.objective(trial, self.recipe)
        return self.objective(trial)

    def _run_until(self, study: Study, log: StudyLog, target: int) -> None:
        while len(finished_trials(study.trials)) < target and not self._gate.asked:
            self._spent_budget = self.budget.spent_by(study)
            if self._spent_budget:
                return
            self._error = None
            log.wait_for_store(lambda: self._gate.asked)
            if self._gate.asked:
                return
            try:
                study.optimize(self._attempt, n_trials=1, catch=(Exception,))
            except KeyboardInterrupt:
                self._gate.asked = True
            trial = study.trials[-1]
            log.finish(trial, self._error)
            failed = None if self._error is None else in_a_line(self._error)
            self._tell_progress("trial", study, trial, failed)
            if trial.state == TrialState.FAIL and not self._gate.asked:
                stop_if_broken(study, failed)

    def _attempt(self, trial: Trial) -> float:
        trial.set_user_attr(WORKER_ATTR, this_worker())
        announce(trial, self._launch)
        if self._log is not None:
            self._log.begin(trial)
        try:
            return self._train(trial)
        finally:
            if self._log is not None:
                self._log.ensure_child(trial)

    def _train(self, trial: Trial) -> float:
        try:
            with self._gate.training():
                return self._call(trial)
        except (KeyboardInterrupt, SystemExit) as error:
            self._error = error
            if isinstance(error, SystemExit) and not self._gate.asked:
                raise SearchError(
                    f"The objective left the program (exit code {error.code}). "
                    f"Let it return a value or raise an exception."
                ) from error
            # Lightning turns Ctrl-C into an exit; Optuna knows only the interrupt.
            trial.set_user_attr(INTERRUPTED_ATTR, True)
            raise KeyboardInterrupt from error
        except Exception as error:
            self._error = error
            raise

    def _give_up(self, study: Study, trial: FrozenTrial) -> None:
        """Close a trial whose worker is gone, as if somebody had stopped it."""
        assert self._log is not None
        study._storage.set_trial_user_attr(trial._trial_id, INTERRUPTED_ATTR, True)
        self._log.ensure_child(trial)
        study.tell(trial.number, state=TrialState.FAIL)
        self._log.finish(study.trials[trial.number], None)

    def _open_study(self) -> Study:
        try:
            study = optuna.create_study(
                storage=_opened(self.storage),
                study_name=self.study_name,
                sampler=PaperStartSampler(self.recipe, seed=self.seed),
                pruner=PRUNERS[self.pruner](),
                direction=self.direction,
                load_if_exists=True,
            )
        except Exception as error:  # whatever the storage's driver raises
            raise SearchError(
                f"Optuna's storage {self.storage} cannot be opened: "
                f"{in_a_line(error)}. "
                f"Check the URL, and that its folder exists."
            ) from error
        found = study.user_attrs.get(RECIPE_ATTR)
        if found not in (None, self.recipe.id):
            raise SearchError(
                f"The study {self.study_name!r} started from the recipe {found}, not "
                f"from {self.recipe.id}. Choose another --study."
            )
        if study.direction.name.lower() != self.direction:
            raise SearchError(
                f"The study {self.study_name!r} is to {study.direction.name.lower()}, "
                f"not to {self.direction}. Choose another --study or --direction."
            )
        study.set_user_attr(RECIPE_ATTR, self.recipe.id)
        if self.price_per_gpu_hour is not None:
            study.set_user_attr(PRICE_ATTR, self.price_per_gpu_hour)
        return study

    def _tell_progress(self, event: str, *facts: Any) -> None:
        if self.progress is not None:
            getattr(self.progress, event)(*facts)


def _opened(url: str) -> RDBStorage:
    """Optuna's storage; its schema is made once, whoever else opens it now."""
    with locked(url):
        return RDBStorage(url)


def _target(study: Study, trials: int, in_all: bool) -> int:
    """How many trials the study is to have in the end."""
    spent = len(finished_trials(study.trials))
    if in_all:
        return trials
    left = study.user_attrs.get(TARGET_ATTR, {})
    if left.get("trials") == trials and left.get("target", 0) > spent:
        return int(left["target"])  # the same call again, after an interruption
    study.set_user_attr(TARGET_ATTR, {"trials": trials, "target": spent + trials})
    return spent + trials
