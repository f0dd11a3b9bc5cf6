"""The pruner: who goes on from a rung."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest
from optuna.study import Study
from optuna.trial import Trial, TrialState

from paperstart import PaperStartPruner, PaperStartSampler
from paperstart.errors import SearchSpaceError

EPOCHS = 12


def ran(study: Study, curve: Callable[[int], float]) -> tuple[TrialState, int]:
    """How a trial with these values ended, and after which epoch."""
    trial = study.ask()
    for epoch in range(1, EPOCHS + 1):
        trial.report(curve(epoch), epoch)
        if trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return TrialState.PRUNED, epoch
    study.tell(trial, curve(EPOCHS))
    return TrialState.COMPLETE, EPOCHS


@pytest.fixture(params=["minimize", "maximize"])
def sign(request: pytest.FixtureRequest) -> int:
    """Which way is better; the tests' curves are losses."""
    return 1 if request.param == "minimize" else -1


@pytest.fixture
def study(sign: int) -> Study:
    """A study with one finished trial, whose loss falls from 1 to 1/12."""
    direction = "minimize" if sign == 1 else "maximize"
    made = optuna.create_study(direction=direction, pruner=PaperStartPruner())
    assert ran(made, lambda epoch: sign / epoch) == (TrialState.COMPLETE, EPOCHS)
    return made


class TestRungs:
    """Rungs after a sixth and after half of the best trial's epochs."""

    def test_a_worse_trial_stops_at_the_first_rung(
        self, study: Study, sign: int
    ) -> None:
        """A trial that is behind at epoch 2 of 12 goes on."""
        assert ran(study, lambda e: sign * 2 / e) == (TrialState.PRUNED, 2)

    def test_a_better_trial_goes_through(self, study: Study, sign: int) -> None:
        """A trial that is ahead of the best one's curve is stopped."""
        ended = ran(study, lambda e: sign * 0.5 / e)

        assert ended == (TrialState.COMPLETE, EPOCHS)

    def test_what_falls_behind_later_stops_at_the_second(
        self, study: Study, sign: int
    ) -> None:
        """A trial that is ahead at epoch 2 and behind at epoch 6 goes on."""
        assert ran(study, lambda e: sign * 0.4) == (TrialState.PRUNED, 6)

    def test_a_value_that_is_not_finite_stops(self, study: Study) -> None:
        """A diverged training goes on."""
        assert ran(study, lambda e: float("nan")) == (TrialState.PRUNED, 2)

    def test_the_best_quarter_goes_on(self, study: Study, sign: int) -> None:
        """The best of many that are behind the best trial is stopped all the same."""
        for _ in range(8):
            ran(study, lambda e: sign * 3 / e)
        trial = study.ask()
        trial.report(sign * 1.0, 1)
        trial.report(sign * 0.6, 2)  # behind 0.5, ahead of eight others

        assert not trial.should_prune()

    def test_reports_may_skip_the_rungs_step(self, study: Study, sign: int) -> None:
        """A trial that reports every third epoch is never stopped."""
        trial = study.ask()
        trial.report(sign * 0.9, 3)

        assert trial.should_prune()


def test_the_first_trial_goes_through() -> None:
    """With nothing to compare with, a trial is stopped."""
    study = optuna.create_study(pruner=PaperStartPruner())

    assert ran(study, lambda e: 1e9) == (TrialState.COMPLETE, EPOCHS)


def test_a_trial_without_reports_is_no_yardstick() -> None:
    """After a finished trial that reported nothing, reports fail or stop a trial."""
    study = optuna.create_study(pruner=PaperStartPruner())
    study.tell(study.ask(), 0.0)

    assert ran(study, lambda e: 1.0) == (TrialState.COMPLETE, EPOCHS)


def test_a_search_with_it_spends_less_and_finds_as_much() -> None:
    """Together with the sampler, most trials stop early and the best one is good."""

    def objective(trial: Trial) -> float:
        rate = trial.suggest_float("learning_rate", 1e-5, 1.0, log=True)
        loss = abs(rate - 0.01) / (rate + 0.01)
        for epoch in range(1, EPOCHS + 1):
            trial.report(loss + 1 / epoch, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return loss + 1 / EPOCHS

    sampler = PaperStartSampler(published={"learning_rate": 0.5}, seed=0)
    study = optuna.create_study(sampler=sampler, pruner=PaperStartPruner())
    study.optimize(objective, n_trials=40)
    stopped = [t for t in study.trials if t.state == TrialState.PRUNED]

    assert len(stopped) > 20
    assert study.best_value < 0.05 + 1 / EPOCHS


@pytest.mark.parametrize(
    "arguments",
    [{"rungs": (0.5, 0.2)}, {"rungs": (0.0, 0.5)}, {"rungs": (1.0,)}, {"quarter": 1.0}],
)
def test_arguments_are_checked(arguments: dict[str, object]) -> None:
    """Rungs that do not grow, or lie outside of the training, are taken."""
    with pytest.raises(SearchSpaceError, match="give growing shares"):
        PaperStartPruner(**arguments)  # type: ignore[arg-type]
