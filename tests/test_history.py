"""What a study's trials say, read once and in any order of finishing."""

from __future__ import annotations

import math
import pickle
from datetime import datetime, timedelta

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from paperstart._history import (
    INTERRUPTED_ATTR,
    KEPT,
    Draw,
    Histories,
    History,
    finished_trials,
    index_of,
    is_interrupted,
    loss_of,
)

X = FloatDistribution(0.0, 1.0)
START = datetime(2026, 1, 1)


def finished(
    minute: int,
    value: float | None = 1.0,
    state: TrialState = TrialState.COMPLETE,
    **attrs: object,
) -> FrozenTrial:
    """A trial that finished at a minute."""
    trial = create_trial(
        state=state,
        value=value,
        params={"x": 0.5},
        distributions={"x": X},
        user_attrs=attrs,
    )
    trial.datetime_complete = START + timedelta(minutes=minute)
    return trial


class Seen(list[int]):
    """A fold that remembers which trials it was shown."""

    def add(self, number: int, /) -> None:
        self.append(number)


def seen(history: History, study: Study) -> Seen:
    """The trials that a fold was shown until now."""
    history.read(study)
    return history.fold("seen", Seen, lambda trial: trial.number)


class TestTrials:
    """What one trial says."""

    def test_the_order_is_that_of_finishing(self) -> None:
        """A trial that took longer than its successors comes after them."""
        study = optuna.create_study()
        study.add_trials([finished(9), finished(3), finished(5), finished(3)])

        assert [t.number for t in finished_trials(study.trials)] == [1, 3, 2, 0]

    def test_what_was_interrupted_does_not_count(self) -> None:
        """A trial that somebody stopped is not spent; one that failed by itself is."""
        stopped = finished(1, None, TrialState.FAIL, **{INTERRUPTED_ATTR: True})
        failed = finished(2, None, TrialState.FAIL)
        # Stopped by Ctrl-C once, then repeated to its end.
        repeated = finished(3, 1.0, **{INTERRUPTED_ATTR: True})

        assert is_interrupted(stopped)
        assert finished_trials([stopped, failed, repeated]) == [failed, repeated]

    @pytest.mark.parametrize("direction", ["minimize", "maximize"])
    def test_lower_is_better(self, direction: str) -> None:
        """The better of two trials has the lower loss, whatever the direction."""
        study = optuna.create_study(direction=direction)
        study.add_trials([finished(1, 0.3), finished(2, 0.7)])
        best = min(study.trials, key=lambda trial: loss_of(study, trial))

        assert best.number == study.best_trial.number

    @pytest.mark.parametrize(
        "trial",
        [
            finished(1, None, TrialState.FAIL),
            finished(1, 0.5, TrialState.PRUNED),
            finished(1, math.inf),
            finished(1, -math.inf),
        ],
    )
    def test_without_a_number_there_is_no_loss(self, trial: FrozenTrial) -> None:
        """Failed, pruned and infinite trials are worse than any other."""
        for direction in ("minimize", "maximize"):
            study = optuna.create_study(direction=direction)
            assert loss_of(study, trial) == math.inf

    def test_a_choice_is_found_by_value_and_kind(self) -> None:
        """1 is not ``True``, though Python says that they are equal."""
        choices = CategoricalDistribution([True, 1, 0.5, "1", None])

        assert [index_of(choices, c) for c in choices.choices] == [0, 1, 2, 3, 4]
        assert index_of(choices, "no such") is None


class TestHistory:
    """The trials of one study, each read once."""

    def test_each_trial_is_seen_once(self) -> None:
        """A fold is shown what is new and nothing twice."""
        study, history = optuna.create_study(), History()
        study.add_trials([finished(1), finished(2)])
        fold = seen(history, study)
        study.add_trial(finished(3))

        assert seen(history, study) is fold
        assert fold == [0, 1, 2]
        assert history.finished == 3

    def test_a_running_trial_comes_when_it_is_finished(self) -> None:
        """What is in flight is listed apart, and seen when it ends."""
        study, history = optuna.create_study(), History()
        slow, quick = study.ask(), study.ask()
        study.tell(quick, 1.0)

        assert seen(history, study) == [1]
        assert [trial.number for trial in history.running] == [0]
        study.tell(slow, 1.0)
        assert seen(history, study) == [1, 0]
        assert history.running == []

    def test_a_late_arrival_puts_the_order_right(self) -> None:
        """A trial of another machine that finished earlier is put in its place."""
        study, history = optuna.create_study(), History()
        study.add_trials([finished(1), finished(8)])
        first = seen(history, study)
        study.add_trial(finished(4))

        assert seen(history, study) == [0, 2, 1]
        assert first == [0, 1]

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=12))
    def test_reading_in_parts_is_reading_at_once(
        self, trials: list[tuple[int, bool]]
    ) -> None:
        """A cache that grew with the study knows what a new one reads from it."""
        study, grown = optuna.create_study(), History()
        for minute, read in trials:
            study.add_trial(finished(minute))
            if read:
                seen(grown, study)

        assert seen(grown, study) == seen(History(), study)

    def test_a_draw_is_decided_once(self) -> None:
        """The values of one trial share one decision."""
        history = History()
        first = history.draw_of(3, lambda: Draw("coarse", 1, None, 0))
        again = history.draw_of(3, lambda: Draw("region", 2, None, 9))

        assert again is first

    def test_it_does_not_grow_without_end(self) -> None:
        """Distributions that differ from trial to trial fill no memory."""
        history = History()
        for number in range(3 * KEPT):
            history.fold(number, Seen, lambda trial: trial.number)
            history.draw_of(number, lambda: Draw("coarse", 1, None, 0))

        assert len(history._folds) == len(history._draws) == KEPT


class TestHistories:
    """The histories of the studies that one sampler serves."""

    def test_studies_in_memory_are_told_apart(self) -> None:
        """Two studies in memory share an id, and still no history."""
        one, two = optuna.create_study(), optuna.create_study()
        histories = Histories()

        assert one._study_id == two._study_id
        assert histories.of(one) is histories.of(one)
        assert histories.of(one) is not histories.of(two)

    def test_studies_of_one_storage_are_told_apart(self) -> None:
        """Two studies in one storage have a history each."""
        storage = optuna.storages.InMemoryStorage()
        one, two = (optuna.create_study(storage=storage) for _ in range(2))
        histories = Histories()
        one.add_trial(finished(1))
        histories.of(one).read(one)

        assert histories.of(one).finished == 1
        assert histories.of(two).finished == 0

    def test_it_does_not_travel(self) -> None:
        """Another process gets an empty cache, which the study fills."""
        study, histories = optuna.create_study(), Histories()
        study.add_trial(finished(1))
        histories.of(study).read(study)

        assert pickle.loads(pickle.dumps(histories)).of(study).finished == 0
