"""Why a trial is where it is, and where each round looked."""

from __future__ import annotations

import optuna
import pytest
from optuna.study import Study
from optuna.trial import Trial

from paperstart import PaperStartSampler, rounds


def objective(trial: Trial) -> float:
    """A valley, with its best at a rate of 0.01 and the second choice."""
    rate = trial.suggest_float("learning_rate", 1e-5, 1.0, log=True)
    choice = trial.suggest_categorical("schedule", ["step", "cosine", "none"])
    return abs(rate - 0.01) / (rate + 0.01) + (choice != "cosine")


@pytest.fixture(scope="module")
def study() -> Study:
    """Thirty trials from a published point, one of them enqueued."""
    published = {"learning_rate": 0.5, "schedule": "step"}
    made = optuna.create_study(sampler=PaperStartSampler(published=published, seed=0))
    made.optimize(objective, n_trials=12)
    made.enqueue_trial({"learning_rate": 0.3, "schedule": "none"})
    made.optimize(objective, n_trials=18)
    return made


def words(study: Study, number: int) -> str:
    """What the sampler says of one trial."""
    return str(study.sampler.explain(study, study.trials[number]))  # type: ignore[attr-defined]


class TestExplain:
    """The words of `PaperStartSampler.explain`."""

    @pytest.mark.parametrize(
        ("number", "start"),
        [
            (0, "The published point, as the source has it"),
            (1, "A coarse draw from the middle of the ranges"),
            (2, "In round 1, where the model of all trials expects"),
            (12, "Values that were enqueued by hand, in round 3."),
            (20, "In round 5, where the model of all trials expects"),
        ],
    )
    def test_each_kind(self, study: Study, number: int, start: str) -> None:
        """A trial is explained as one of another kind."""
        assert words(study, number).startswith(start)

    def test_the_region_and_its_center(self, study: Study) -> None:
        """A later trial is told without the region's ends, or without the best."""
        attr = study.trials[25].user_attrs["paperstart.draw"]
        low, high = attr["region"]["learning_rate"]
        said = words(study, 25)

        assert f"learning_rate {low:.4g} to {high:.4g}" in said
        assert f"The best so far was trial {attr['best']} (learning_rate" in said

    def test_a_trial_of_another_sampler(self, study: Study) -> None:
        """A trial that a random search drew is explained as ours."""
        other = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        other.optimize(objective, n_trials=1)
        sampler = study.sampler

        assert isinstance(sampler, PaperStartSampler)
        assert sampler.explain(other, other.trials[0]) == "Drawn by another sampler."

    def test_trials_in_flight(self) -> None:
        """Trials asked at once, with nothing to learn from, claim that there is."""
        made = optuna.create_study(sampler=PaperStartSampler(seed=0))
        trials = [made.ask() for _ in range(10)]
        for trial in trials:
            objective(trial)
        sampler = made.sampler
        assert isinstance(sampler, PaperStartSampler)
        said = {sampler.explain(made, trial) for trial in made.trials}

        assert any(one.startswith("A draw from the full ranges") for one in said)
        assert any(one.startswith("A random draw around the best") for one in said)


class TestRounds:
    """`rounds(study)`."""

    def test_every_trial_is_in_one_round(self, study: Study) -> None:
        """A trial is in no round, or in two; or a round is out of order."""
        found = rounds(study)

        assert [one.number for one in found] == list(range(1, len(found) + 1))
        assert sorted(n for one in found for n in one.trials) == list(range(30))

    def test_regions_narrow_around_the_best(self, study: Study) -> None:
        """The last round's region is as wide as the first, or leaves the best out."""
        first, last = rounds(study)[1], rounds(study)[-1]
        low, high = last.regions["learning_rate"]

        assert high / low < (
            first.regions["learning_rate"][1] / first.regions["learning_rate"][0]
        )
        assert low <= study.best_params["learning_rate"] <= high
        assert "schedule" not in last.regions

    def test_a_study_of_another_sampler_has_none(self) -> None:
        """A random search has rounds."""
        made = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        made.optimize(objective, n_trials=2)

        assert rounds(made) == []
