"""What the trials have shown: which of them count, and as what."""

from __future__ import annotations

import math

import numpy as np
import pytest

from paperstart._evidence import (
    CLIP,
    FAILED_DOUBT,
    MOST,
    Evidence,
    Result,
)


def at(place: float) -> np.ndarray:
    """A point of a cube of one coordinate."""
    return np.array([place])


def evidence(*results: Result) -> Evidence:
    """With these trials, in this order."""
    made = Evidence()
    for result in results:
        made.add(result)
    return made


class TestFinished:
    """Trials that went through."""

    def test_losses_are_standardized(self) -> None:
        """Losses of any unit are not near zero with a spread near one."""
        losses = [300.0, 310.0, 320.0, 330.0]
        data = evidence(*(Result(at(0.1 * i), v) for i, v in enumerate(losses))).data()

        assert data.losses.mean() == pytest.approx(0, abs=1e-12)
        assert data.losses.std() == pytest.approx(1)
        assert (np.diff(data.losses) > 0).all()
        assert (data.doubt == 0).all()
        assert (data.share == 1).all()

    def test_a_disaster_does_not_flatten_the_rest(self) -> None:
        """A loss of a million leaves no difference between the good trials."""
        losses = [1.0, 2.0, 3.0, 4.0, 1e6]
        data = evidence(*(Result(at(0.1 * i), v) for i, v in enumerate(losses))).data()

        gaps = np.diff(data.losses)
        assert gaps[0] == pytest.approx(gaps[2])
        assert gaps[3] / gaps[0] == pytest.approx(CLIP * 3 - 3)

    def test_one_trial_is_enough(self) -> None:
        """A single loss, or equal ones, is divided by a spread of zero."""
        assert evidence(Result(at(0.5), 7.0)).data().losses.tolist() == [0.0]
        same = evidence(Result(at(0.5), 7.0), Result(at(0.6), 7.0)).data()
        assert same.losses.tolist() == [0.0, 0.0]

    def test_the_best_and_the_latest_of_many(self) -> None:
        """Of 1,000 trials, the best one or the last ones are missing."""
        results = [Result(at(i / 1000), abs(i - 123) + 1.0) for i in range(1000)]
        data = evidence(*results).data()

        assert len(data.points) == MOST
        assert 0.123 in data.points
        assert data.points[-1] == at(0.999)

    def test_what_has_no_point_is_left_out(self) -> None:
        """A trial of another space counts."""
        assert evidence(Result(None, 1.0), Result(at(0.5), 2.0)).known == 1


class TestStopped:
    """Trials that a pruner stopped."""

    # Two trainings that went through: both fell by 3 from step 1, by 1 from step 2.
    done = (
        Result(at(0.1), 1.0, {1: 4.0, 2: 2.0, 4: 1.0}),
        Result(at(0.2), 2.0, {1: 5.0, 2: 3.0, 4: 2.0}),
    )

    def test_it_counts_as_what_it_would_have_reached(self) -> None:
        """A trial at 3.5 after step 2 counts as 3.5, or as lost, not as 2.5."""
        stopped = Result(at(0.9), math.inf, {1: 6.0, 2: 3.5}, stopped=True)
        found = evidence(*self.done, stopped)
        data = found.data()
        first, second, third = data.losses[:3]

        assert found.known == 3
        assert data.trials == 3
        assert (third - first) / (second - first) == pytest.approx(1.5)
        assert data.share[2] == pytest.approx(math.log(3) / math.log(5))

    def test_the_finished_ones_say_what_they_were_then(self) -> None:
        """At the step where one was stopped, the others' values are not there."""
        stopped = Result(at(0.9), math.inf, {1: 6.0, 2: 3.5}, stopped=True)
        data = evidence(*self.done, stopped).data()

        assert len(data.losses) == 5
        assert data.points[3:].ravel().tolist() == [0.1, 0.2]
        assert (data.share[3:] < 1).all()

    def test_before_any_went_through_it_says_nothing(self) -> None:
        """A stopped trial counts with no finished one to measure it by."""
        stopped = Result(at(0.9), math.inf, {1: 6.0}, stopped=True)

        assert evidence(stopped, stopped).known == 0


class TestFailed:
    """Trials without a value."""

    def test_a_failure_is_an_average_trial_in_doubt(self) -> None:
        """A crash counts as the worst trial, or as a sure one."""
        results = [Result(at(0.1 * i), float(i)) for i in range(5)]
        data = evidence(*results, Result(at(0.9), math.inf)).data()
        crashed = data.points.ravel().tolist().index(0.9)

        assert data.losses[crashed] == pytest.approx(np.median(data.losses))
        assert data.doubt[crashed] == FAILED_DOUBT

    def test_a_broken_constraint_is_as_bad_as_the_worst(self) -> None:
        """A trial that Optuna calls infeasible attracts others."""
        results = [Result(at(0.1 * i), float(i)) for i in range(5)]
        data = evidence(*results, Result(at(0.9), math.inf, refused=True)).data()
        broken = data.points.ravel().tolist().index(0.9)

        assert data.losses[broken] == data.losses.max()
        assert data.doubt[broken] == 0
