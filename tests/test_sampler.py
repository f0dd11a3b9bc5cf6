"""The sampler: Optuna's contract, the start, the scales, and the way it refines."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import Study
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

import paperstart
from paperstart import PaperStartSampler, RecipeNotFoundError, load_recipe
from paperstart._history import DRAW_ATTR, INTERRUPTED_ATTR
from paperstart.errors import SearchSpaceError

RATE = FloatDistribution(1e-4, 1.0, log=True)
POINT = {"learning_rate": 0.1 + 0.2, "momentum": 0.9}


def study_of(sampler: BaseSampler, **arguments: Any) -> Study:
    """A study in memory."""
    return optuna.create_study(sampler=sampler, **arguments)


def draws(study: Study) -> list[dict[str, Any]]:
    """What the sampler wrote into each trial."""
    return [trial.user_attrs[DRAW_ATTR] for trial in study.trials]


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[RDBStorage]:
    """An empty storage in a file."""
    storage = RDBStorage(f"sqlite:///{tmp_path / 's.db'}")
    yield storage
    # Python 3.13 minds connections that nobody closed.
    storage.scoped_session.remove()
    storage.engine.dispose()


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest) -> BaseStorage:
    """An empty storage, of each kind in turn."""
    if request.param == "memory":
        return InMemoryStorage()
    made: BaseStorage = request.getfixturevalue("sqlite")
    return made


def kinds(study: Study) -> list[str]:
    """The kind of each trial's draw."""
    return [draw["kind"] for draw in draws(study)]


def valley(trial: Trial, rate: float = 0.01, rest: float = 0.03) -> float:
    """A quadratic on the natural scales, in decades; its best is at the arguments."""
    learning_rate = trial.suggest_float("learning_rate", 1e-5, 1.0, log=True)
    momentum = trial.suggest_float("momentum", 0.5, 0.999)
    decades = math.log10(learning_rate / rate), math.log10((1 - momentum) / rest)
    return decades[0] ** 2 + decades[1] ** 2


def mixed(trial: Trial) -> float:
    """An objective with every kind of hyperparameter."""
    loss = valley(trial)
    loss += abs(trial.suggest_int("hidden_layers", 1, 200) - 40) / 100
    loss += abs(trial.suggest_int("width", 8, 4096, log=True) - 64) / 1000
    loss += abs(trial.suggest_float("dropout", 0.0, 0.9, step=0.005) - 0.3)
    loss += trial.suggest_categorical("optimizer", ["sgd", "adam", "lamb"]) != "adam"
    return loss + trial.suggest_categorical("batch_size", [16, 32, 64, 128]) / 1e3


# ------------------------------------------------------------------- the contract


class _Contract(
    BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
):
    """Whatever Optuna asks of any sampler."""


# The suite's names are x, y, z and a to f: nothing of that is published.
@pytest.mark.filterwarnings("ignore:None of the trial's:UserWarning")
class TestContractWithARecipe(_Contract):
    """It holds for a search that starts from a recipe."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: PaperStartSampler(load_recipe("resnet50"), seed=0)


# The suite's ranges do not always hold the points.
@pytest.mark.filterwarnings("ignore:The published:UserWarning")
@pytest.mark.filterwarnings("ignore:None of the trial's:UserWarning")
class TestContractWithPoints(_Contract):
    """It holds for a search that starts from the user's points."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        points = [{"x": 0.5, "a": 1, "b": 1}, {"x": 4, "y": 1.0, "c": 9}]
        return lambda: PaperStartSampler(published=points, seed=0)


class TestContractWithoutAStart(_Contract):
    """It holds for a search that starts from nothing."""

    @pytest.fixture
    def sampler(self) -> Callable[[], BaseSampler]:
        return lambda: PaperStartSampler(seed=0)


# ------------------------------------------------------------------- the start


class TestStart:
    """The published points, each tried once and first."""

    def test_trial_k_is_point_k(self, storage: BaseStorage) -> None:
        """The first trials are the published points, to the last digit."""
        points = [POINT, {"learning_rate": 1 / 3, "momentum": 0.99}]
        sampler = PaperStartSampler(published=points, seed=0)
        study = study_of(sampler, storage=storage)
        study.optimize(valley, n_trials=3)

        assert [trial.params for trial in study.trials[:2]] == points
        assert kinds(study)[:2] == ["published"] * 2
        assert [draw["point"] for draw in draws(study)] == [0, 1, None]

    @pytest.mark.parametrize("name", ["resnet20-cifar10", "bert-base-pretraining"])
    def test_a_recipe_is_tried_as_published(self, name: str) -> None:
        """With a recipe, trial 0 has every published value of its search space."""
        recipe = load_recipe(name)
        study = study_of(PaperStartSampler(name, seed=0))
        values = recipe.suggest(study.ask())

        assert {n: values[n] for n in recipe.published} == recipe.published

    def test_further_points_come_after_the_recipe(self) -> None:
        """A recipe and points of one's own are tried in this order."""
        sampler = PaperStartSampler("resnet50", published=POINT, seed=0)
        study = study_of(sampler)
        study.optimize(valley, n_trials=2)

        rates = [trial.params["learning_rate"] for trial in study.trials]
        assert rates == [0.1, POINT["learning_rate"]]

    def test_the_objective_sees_which_trial_it_is(self, storage: BaseStorage) -> None:
        """Inside the objective, the trial says that it is the published one."""
        seen = []
        sampler = PaperStartSampler(published=POINT, seed=0)
        study = study_of(sampler, storage=storage)
        study.optimize(
            lambda t: seen.append(t.user_attrs[DRAW_ATTR]) or valley(t), n_trials=2
        )

        # Where a value came from is known when it was asked for.
        told = [{k: v for k, v in d.items() if k != "region"} for d in draws(study)]
        assert seen == told

    def test_a_value_outside_is_clipped_aloud(self) -> None:
        """A published value outside the user's range is moved, with a warning."""
        study = study_of(PaperStartSampler(published={"learning_rate": 10}, seed=0))
        with pytest.warns(UserWarning, match="learning_rate 10 lies outside"):
            study.optimize(valley, n_trials=10)

        assert study.trials[0].params["learning_rate"] == 1.0

    def test_a_start_that_meets_nothing_is_said(self) -> None:
        """If no name has a counterpart, the user hears how to map names."""
        study = study_of(PaperStartSampler(published={"lr": 0.1}, seed=0))
        with pytest.warns(UserWarning, match="Pass names="):
            study.optimize(valley, n_trials=3)

    def test_names_are_mapped(self) -> None:
        """A mapped hyperparameter starts at its published value, and silently."""
        sampler = PaperStartSampler("resnet50", names={"lr": "learning_rate"}, seed=0)
        study = study_of(sampler)
        trial = study.ask({"lr": FloatDistribution(1e-4, 1.0)})
        study.tell(trial, 1.0)

        assert trial.params == {"lr": 0.1}

    def test_what_the_paper_does_not_say_is_drawn_from_the_middle(self) -> None:
        """In the published trial, other hyperparameters keep away from the ends."""
        spread = {f"x{k}": FloatDistribution(0.0, 1.0) for k in range(200)}
        trial = study_of(PaperStartSampler(published=POINT, seed=0)).ask(
            {"learning_rate": RATE, **spread}
        )
        others = [trial.params[name] for name in spread]

        assert 0.25 <= min(others) < max(others) <= 0.75

    def test_choices_start_from_the_paper(self) -> None:
        """A published choice is tried first, and oftener than others until beaten."""
        sampler = PaperStartSampler(published={"optimizer": "lamb"}, seed=0)
        study = study_of(sampler, direction="maximize")
        names = CategoricalDistribution(["sgd", "adam", "lamb"])
        for _ in range(40):
            study.ask({"optimizer": names})
        chosen = [trial.params["optimizer"] for trial in study.trials]

        assert chosen[0] == "lamb"
        assert Counter(chosen).most_common(1)[0][0] == "lamb"
        assert len(set(chosen)) == 3


class TestPointsInTrouble:
    """Points whose trial was not the sampler's own, or did not end well."""

    def test_an_interrupted_point_is_tried_again_once(self) -> None:
        """A trial that somebody stopped leaves its point to the next trial alone."""
        study = study_of(PaperStartSampler(published=[POINT, {}], seed=0))
        stopped = study.ask({"learning_rate": RATE})
        stopped.set_user_attr(INTERRUPTED_ATTR, True)
        study.tell(stopped, state=TrialState.FAIL)
        study.optimize(valley, n_trials=4)

        assert [draw["point"] for draw in draws(study)] == [0, 0, 1, None, None]
        assert study.trials[1].params == POINT

    def test_a_failed_point_is_not_tried_again(self) -> None:
        """A published point that raises is spent; the search goes on around it."""

        def diverges(trial: Trial) -> float:
            if trial.number == 0:
                raise FloatingPointError
            return valley(trial)

        study = study_of(PaperStartSampler(published=POINT, seed=0))
        study.optimize(diverges, n_trials=4, catch=(FloatingPointError,))

        assert [draw["point"] for draw in draws(study)] == [0, None, None, None]

    def test_an_enqueued_trial_does_not_use_up_a_point(self) -> None:
        """The user's own trial has the user's values, and the paper comes next."""
        study = study_of(PaperStartSampler(published=POINT, seed=0))
        study.enqueue_trial({"learning_rate": 0.5})
        study.optimize(valley, n_trials=3)

        assert study.trials[0].params["learning_rate"] == 0.5
        assert study.trials[1].params == POINT
        assert kinds(study)[0] == "enqueued"
        assert [draw["point"] for draw in draws(study)] == [None, 0, None]

    def test_a_study_that_another_sampler_began_still_tries_the_paper(self) -> None:
        """After trials of another sampler, the first of ours is the published one."""
        study = study_of(optuna.samplers.TPESampler(seed=0))
        study.optimize(valley, n_trials=3)
        study.sampler = PaperStartSampler(published=POINT, seed=0)
        study.optimize(valley, n_trials=2)

        assert study.trials[3].params == POINT
        assert study.trials[4].user_attrs[DRAW_ATTR]["point"] is None

    def test_optunas_own_retry_stays_the_papers_trial(self) -> None:
        """A trial that Optuna repeats for a lost worker is still the published one."""
        study = study_of(PaperStartSampler(published=POINT, seed=0))
        lost = study.ask()
        valley(lost)
        study.tell(lost, state=TrialState.FAIL)
        optuna.storages.RetryHeartbeatStaleTrialCallback()(study, study.trials[0])
        study.optimize(valley, n_trials=2)

        assert [draw["point"] for draw in draws(study)] == [0, 0, None]
        assert study.trials[1].params == POINT

    def test_four_threads_try_each_point_once(self) -> None:
        """Trials that run at once share the points out, and repeat no other."""
        points = [{"learning_rate": k / 7, "momentum": 0.9} for k in range(1, 6)]
        study = study_of(PaperStartSampler(published=points, seed=0))
        study.optimize(mixed, n_trials=40, n_jobs=4)

        rates = [trial.params["learning_rate"] for trial in study.trials]
        assert rates[:5] == [point["learning_rate"] for point in points]
        assert len(set(rates)) == 40
        assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


class TestArguments:
    """What the constructor refuses."""

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"seed": -1}, "seed is -1; give a whole number of at least 0"),
            ({"seed": 0.5}, "seed is 0.5"),
            ({"seed": True}, "seed is True"),
            ({"coarse_trials": 0}, "coarse_trials is 0; give at least 1"),
            ({"round_trials": 0}, "round_trials is 0; give at least 1"),
            ({"published": 3}, "published is 3; give a mapping"),
            ({"names": {"lr": "lerning_rate"}}, "Did you mean learning_rate"),
        ],
    )
    def test_the_words(self, arguments: dict[str, Any], words: str) -> None:
        """A wrong argument is named, with what to give instead."""
        with pytest.raises(SearchSpaceError, match=words):
            PaperStartSampler(**arguments)

    def test_an_unknown_recipe(self) -> None:
        """A recipe that does not exist is refused with near matches."""
        with pytest.raises(RecipeNotFoundError, match="resnet50"):
            PaperStartSampler("resnet5O")

    def test_a_seed_may_be_of_numpy(self) -> None:
        """A seed that NumPy made is a seed."""
        assert PaperStartSampler(seed=np.int64(3))._seed == 3

    def test_two_objectives_are_refused(self) -> None:
        """A study with two objective values gets Optuna's own explanation."""
        study = study_of(PaperStartSampler(seed=0), directions=["minimize"] * 2)
        with pytest.raises(ValueError, match="multi-objective"):
            study.ask({"learning_rate": RATE})


# ------------------------------------------------------------------- the scales


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[float]]:
    """The values of 100 studies' first 100 trials, none of them told."""
    space = {
        "learning_rate": RATE,
        "alpha": FloatDistribution(1e-4, 1.0),
        "momentum": FloatDistribution(0.9, 0.999),
        "beta": FloatDistribution(0.9, 0.999),
        "linear": FloatDistribution(1e-4, 1.0),
    }
    names = {"alpha": "learning_rate", "beta": "momentum"}
    values: dict[str, list[float]] = {name: [] for name in space}
    for seed in range(100):
        study = study_of(PaperStartSampler(names=names, seed=seed))
        for _ in range(100):
            for name, value in study.ask(space).params.items():
                values[name].append(value)
    return values


class TestScales:
    """10,000 draws of a coarse round with nothing published."""

    @pytest.mark.parametrize("name", ["learning_rate", "alpha"])
    def test_three_decades_of_four(
        self, drawn: dict[str, list[float]], name: str
    ) -> None:
        """75 % of the rates in [0.0001, 1] lie below 0.1, declared linear or log."""
        assert np.mean(np.array(drawn[name]) < 0.1) == pytest.approx(0.75, abs=0.015)

    @pytest.mark.parametrize("name", ["momentum", "beta"])
    def test_half_of_the_way_to_one(
        self, drawn: dict[str, list[float]], name: str
    ) -> None:
        """Half of the momenta in [0.9, 0.999] lie above 0.99, declared linear."""
        assert np.mean(np.array(drawn[name]) > 0.99) == pytest.approx(0.5, abs=0.015)

    def test_other_names_keep_their_scale(self, drawn: dict[str, list[float]]) -> None:
        """A name that is neither canonical nor mapped is drawn as it was declared."""
        assert np.mean(np.array(drawn["linear"]) < 0.1) == pytest.approx(0.1, abs=0.015)

    def test_it_is_no_grid(self, drawn: dict[str, list[float]]) -> None:
        """10,000 draws of a continuous hyperparameter are 10,000 values."""
        assert {len(set(values)) for values in drawn.values()} == {10_000}

    def test_no_two_hyperparameters_move_together(
        self, drawn: dict[str, list[float]]
    ) -> None:
        """The draws of one trial, and of one name in two trials, are independent."""
        places = np.array([np.argsort(np.argsort(v)) for v in drawn.values()])
        later = np.corrcoef(places[:, 1:], places[:, :-1])
        together = np.corrcoef(places)

        assert np.abs(together - np.eye(len(together))).max() < 0.05
        assert np.abs(later - np.eye(len(later))).max() < 0.05

    def test_batch_sizes_are_powers_of_two(self) -> None:
        """A recipe's batch size stays a power of two, however it is drawn."""
        recipe = load_recipe("resnet50")
        study = study_of(PaperStartSampler(recipe, seed=0))
        study.optimize(
            lambda t: recipe.suggest(t, only=["batch_size"])["batch_size"], n_trials=20
        )
        sizes = {trial.params["batch_size"] for trial in study.trials}

        assert len(sizes) > 3
        assert all(type(size) is int and size.bit_count() == 1 for size in sizes)


class TestNoRepeats:
    """Random, never a grid: a value that was tried is not tried again."""

    @pytest.mark.parametrize("published", [None, {"n": 80, "m": 300, "x": 0.2}])
    def test_there_is_room(self, published: dict[str, Any] | None) -> None:
        """No two of 60 trials are the same point, and no value is drawn twice early."""

        def objective(trial: Trial) -> float:
            n = trial.suggest_int("n", 1, 150)
            m = trial.suggest_int("m", 8, 4096, log=True)
            x = trial.suggest_float("x", 0.0, 1.0, step=0.005)
            y = trial.suggest_float("y", 0.0, 1.0)
            return abs(n - 20) / 100 + abs(m - 30) / 1000 + abs(x - 0.8) + y

        study = study_of(PaperStartSampler(published=published, seed=0))
        study.optimize(objective, n_trials=60)

        assert "region" in kinds(study)
        assert len({tuple(trial.params.values()) for trial in study.trials}) == 60
        for name in "nmxy":
            assert len({trial.params[name] for trial in study.trials[:3]}) == 3, name

    def test_there_is_none(self) -> None:
        """Where half of the values were tried, values come again and all of them do."""
        study = study_of(PaperStartSampler(seed=0))
        study.optimize(lambda t: t.suggest_int("n", 1, 4) * 1.0, n_trials=40)
        tried = [trial.params["n"] for trial in study.trials]

        assert len(set(tried[:2])) == 2
        assert set(tried) == {1, 2, 3, 4}

    def test_what_is_in_flight_counts(self) -> None:
        """A value of a trial that still runs is not given to another."""
        study = study_of(PaperStartSampler(seed=0))
        values = [
            study.ask({"n": IntDistribution(1, 100)}).params["n"] for _ in "x" * 40
        ]

        assert len(set(values)) == 40

    def test_a_batch_asked_at_once_shares_no_value(self, storage: BaseStorage) -> None:
        """Trials that were all asked for before the first suggests differ, too."""
        study = study_of(PaperStartSampler(seed=0), storage=storage)
        study.optimize(lambda t: t.suggest_int("n", 1, 30), n_trials=1)
        trials = [study.ask() for _ in range(14)]
        tried = {trial.suggest_int("n", 1, 30) for trial in trials}

        assert len(tried | {study.trials[0].params["n"]}) == 15


# ------------------------------------------------------------------- the same again

WORKER = """
import json, os, pathlib, sys, time
import optuna
from paperstart import PaperStartSampler
sys.path.insert(0, sys.argv[1])
from test_sampler import POINT, mixed
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage, trials = sys.argv[2] or None, int(sys.argv[3])
pathlib.Path(f"ready{os.getpid()}").touch()
while len(list(pathlib.Path().glob("ready*"))) < int(sys.argv[4]):
    time.sleep(0.01)
study = optuna.create_study(
    storage=storage, study_name="s", load_if_exists=True,
    sampler=PaperStartSampler(published=POINT, seed=7),
)
study.optimize(mixed, n_trials=trials)
print(json.dumps([trial.params for trial in study.trials]))
"""


def worker(
    storage: str, trials: int, hash_seed: str, together: int = 1
) -> subprocess.Popen[str]:
    """Another Python that runs some trials and prints all parameters of the study.

    It begins when ``together`` workers are there.
    """
    package = str(Path(paperstart.__file__).parents[1])
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": package}
    here = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, here, storage, str(trials), str(together)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def result(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What a worker printed."""
    out, _ = process.communicate()
    assert process.returncode == 0
    printed: list[dict[str, Any]] = json.loads(out)
    return printed


@pytest.fixture(scope="module")
def here() -> list[dict[str, Any]]:
    """The parameters of a run in this process."""
    study = study_of(PaperStartSampler(published=POINT, seed=7))
    study.optimize(mixed, n_trials=24)
    return [trial.params for trial in study.trials]


class TestTheSameAgain:
    """Runs that must agree, and runs that must not."""

    def test_two_runs_in_two_processes_agree(self, here: list[dict[str, Any]]) -> None:
        """With one seed, two runs agree exactly, whatever Python's hashes are."""
        assert result(worker("", 24, "1")) == here

    def test_a_resumed_study_goes_on_as_if_never_stopped(
        self, here: list[dict[str, Any]]
    ) -> None:
        """Stopped after 10 trials and resumed elsewhere, a study ends up the same."""
        first = result(worker("sqlite:///s.db", 10, "2"))
        second = result(worker("sqlite:///s.db", 14, "3"))

        assert first == here[:10]
        assert second == here

    def test_two_workers_with_one_seed_never_draw_the_same(
        self, sqlite: RDBStorage
    ) -> None:
        """Of 32 trials that two processes draw on one storage, no two are the same."""
        study = optuna.create_study(storage=sqlite, study_name="s")
        processes = [worker(sqlite.url, 16, "random", together=2) for _ in range(2)]
        for process in processes:
            result(process)

        rates = [trial.params["learning_rate"] for trial in study.trials]
        assert len(set(rates)) == len(study.trials) == 32
        assert [draw["point"] for draw in draws(study)] == [0] + [None] * 31

    def test_without_a_seed_every_run_differs(self) -> None:
        """Two samplers without a seed draw different values."""
        values = [
            study_of(PaperStartSampler()).ask({"learning_rate": RATE}).params
            for _ in range(2)
        ]

        assert values[0] != values[1]

    @pytest.mark.parametrize(
        "travel", [lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy]
    )
    def test_a_copy_goes_on_alike(
        self, here: list[dict[str, Any]], travel: Callable[[Any], Any]
    ) -> None:
        """A sampler that was pickled in mid-study, or copied, draws the same values."""
        study = study_of(PaperStartSampler(published=POINT, seed=7))
        study.optimize(mixed, n_trials=9)
        study.sampler = travel(study.sampler)
        study.optimize(mixed, n_trials=15)

        assert [trial.params for trial in study.trials] == here

    def test_one_sampler_may_serve_two_studies(
        self, here: list[dict[str, Any]], storage: BaseStorage
    ) -> None:
        """A study does not notice that its sampler serves another one, too."""
        sampler = PaperStartSampler(published=POINT, seed=7)
        other = study_of(sampler, storage=storage, direction="maximize")
        study = study_of(sampler, storage=storage)
        for _ in range(3):
            other.optimize(valley, n_trials=2)
            other.ask()
            study.optimize(mixed, n_trials=3)

        assert [trial.params for trial in study.trials] == here[:9]


# ------------------------------------------------------------------- the refinement


def unit(trial: FrozenTrial) -> np.ndarray:
    """The place of a trial of `valley` in the unit square."""
    rate, rest = trial.params["learning_rate"], 1 - trial.params["momentum"]
    return np.array([math.log10(rate) / 5 + 1, math.log(0.5 / rest) / math.log(500)])


class TestRefinement:
    """Coarse to fine, and never trapped."""

    def test_later_draws_lie_closer_together(self) -> None:
        """From the coarse round to the fifteenth, the draws' spread becomes small."""
        coarse, late = [], []
        for seed in range(8):
            study = study_of(PaperStartSampler(seed=seed))
            study.optimize(valley, n_trials=70)
            for trial in study.trials:
                draw = trial.user_attrs[DRAW_ATTR]
                if draw["kind"] == "coarse":
                    coarse.append(unit(trial) - unit(study.best_trial))
                elif draw["kind"] == "region" and draw["round"] >= 12:
                    late.append(unit(trial) - unit(study.best_trial))

        assert np.std(late) < np.std(coarse) / 4

    @pytest.mark.parametrize("direction", ["minimize", "maximize"])
    def test_it_finds_the_best(self, direction: str) -> None:
        """In 60 trials, the best is near the optimum, whichever way is better."""
        sign = 1 if direction == "minimize" else -1
        for seed in range(5):
            sampler = PaperStartSampler(published=POINT, seed=seed)
            study = study_of(sampler, direction=direction)
            study.optimize(lambda t: sign * valley(t), n_trials=60)

            assert sign * study.best_value < 0.05

    def test_a_bad_paper_cannot_trap_it(self) -> None:
        """With the optimum far from the published point, the search gets there."""
        far = {"learning_rate": 1e-5, "momentum": 0.999}
        found = []
        for seed in range(10):
            study = study_of(PaperStartSampler(published=far, seed=seed))
            study.optimize(lambda t: valley(t, rate=0.3, rest=0.4), n_trials=60)
            found.append(study.best_value)

        assert study.trials[0].value > 20  # squared decades
        assert sorted(found)[7] < 0.1

    def test_the_region_widens_at_its_edge(self) -> None:
        """Around a good point, a better one beyond the region is still reached."""
        found = []
        for seed in range(10):
            near = {"learning_rate": 1e-3, "momentum": 0.6}
            study = study_of(PaperStartSampler(published=near, seed=seed))
            # The loss falls all the way to the far end of both ranges.
            study.optimize(lambda t: valley(t, rate=1.0, rest=1e-3), n_trials=60)
            found.append(study.best_value)

        assert sorted(found)[7] < 0.1

    def test_one_draw_in_five_comes_from_everywhere(self) -> None:
        """While no trial has a value, one of any five is from the full range."""
        study = study_of(PaperStartSampler(seed=0))
        for _ in range(200):
            study.ask({"learning_rate": RATE})
        full = np.array([kind == "full" for kind in kinds(study)]).reshape(-1, 5)

        assert (full.sum(axis=1) == 1).all()
        assert full.any(axis=0).all()  # at no fixed place among the five

    def test_full_draws_reach_both_ends(self) -> None:
        """When the region is narrow, draws from everywhere still are that."""
        study = study_of(PaperStartSampler(published=POINT, seed=0))
        study.optimize(valley, n_trials=200)
        everywhere = [
            unit(trial)[0]
            for trial in study.trials[100:]
            if trial.user_attrs[DRAW_ATTR]["kind"] == "full"
        ]

        assert min(everywhere) < 0.2
        assert max(everywhere) > 0.8

    def test_rounds_are_counted_by_finished_trials(self) -> None:
        """The first round has ``coarse_trials`` trials, each later ``round_trials``."""
        study = study_of(PaperStartSampler(seed=0, coarse_trials=3, round_trials=2))
        study.optimize(valley, n_trials=7)

        assert [draw["round"] for draw in draws(study)] == [1, 1, 1, 2, 2, 3, 3]
        assert set(kinds(study)[:3]) <= {"coarse", "full"}

    def test_trials_asked_and_never_told_stay_coarse(self) -> None:
        """A round ends when trials finish, not when they are drawn."""
        study = study_of(PaperStartSampler(seed=0))
        for _ in range(30):
            study.ask({"learning_rate": RATE})

        assert {draw["round"] for draw in draws(study)} == {1}

    def test_good_choices_become_frequent(self) -> None:
        """Of unordered choices, the best is drawn most, and none dies out."""
        losses = {"sgd": 2.0, "adam": 1.0, "lamb": 3.0}

        def objective(trial: Trial) -> float:
            noise = trial.suggest_float("x", 0.0, 0.5)
            return losses[trial.suggest_categorical("o", list(losses))] + noise

        study = study_of(PaperStartSampler(published={"o": "lamb"}, seed=0))
        study.optimize(objective, n_trials=80)
        late = Counter(trial.params["o"] for trial in study.trials[20:])

        assert late["adam"] > 30
        assert len(late) == 3


class TestHistories:
    """Trials that did not end as they should."""

    def test_every_way_to_end(self) -> None:
        """Failed, pruned, NaN and infinite trials do not stop or mislead the search."""

        def objective(trial: Trial) -> float:
            loss = valley(trial)
            if trial.number % 6 == 1:
                raise RuntimeError("out of memory")
            if trial.number % 6 == 2:
                raise optuna.TrialPruned
            odd = {3: float("nan"), 4: float("inf")}
            return odd.get(trial.number % 6, loss)

        study = study_of(PaperStartSampler(published=POINT, seed=0))
        study.ask({"learning_rate": RATE})  # a worker that was lost: stays running
        study.optimize(objective, n_trials=120, catch=(RuntimeError,))
        states = Counter(trial.state for trial in study.trials)

        assert states[TrialState.FAIL] == 40
        assert states[TrialState.PRUNED] == 20
        assert states[TrialState.RUNNING] == 1
        assert study.best_value < 0.05

    def test_only_failures(self) -> None:
        """While nothing has a value, the search keeps looking around the paper."""

        def fails(trial: Trial) -> float:
            valley(trial)
            raise RuntimeError

        study = study_of(PaperStartSampler(published=POINT, seed=0))
        study.optimize(fails, n_trials=30, catch=(RuntimeError,))
        around = [
            unit(t)
            for t, draw in zip(study.trials, draws(study), strict=True)
            if draw["kind"] != "full" and not draw.get("hedge")
        ]

        assert len({trial.params["momentum"] for trial in study.trials}) == 30
        assert np.abs(np.array(around) - around[0]).max() <= 0.4 + 1e-9

    def test_hyperband(self) -> None:
        """With a pruner that shows a sampler one bracket, all brackets count."""

        def objective(trial: Trial) -> float:
            loss = valley(trial)
            for epoch in range(1, 10):
                trial.report(loss + 1 / epoch, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return loss

        pruner = optuna.pruners.HyperbandPruner(1, 9, 3)
        study = study_of(PaperStartSampler(published=POINT, seed=0), pruner=pruner)
        study.optimize(objective, n_trials=60)

        assert study.trials[0].params == POINT
        assert [draw["round"] for draw in draws(study)][-1] == 15
        assert study.best_value < 0.2

    def test_results_of_another_sampler_count(self) -> None:
        """After a random search, the first trials lie around its best ones."""
        study = study_of(optuna.samplers.RandomSampler(seed=0))
        study.optimize(valley, n_trials=80)
        study.sampler = PaperStartSampler(seed=0)
        best, before = study.best_trial, study.best_value
        study.optimize(valley, n_trials=5)
        later = study.trials[80:]

        assert later[0].user_attrs[DRAW_ATTR]["best"] == best.number
        assert np.median([np.abs(unit(t) - unit(best)).max() for t in later]) < 0.2
        assert study.best_value < before


# ------------------------------------------------------------------- the kinds


class TestKinds:
    """Hyperparameters beyond a constant range of floats."""

    def test_plain_types(self, storage: BaseStorage) -> None:
        """Values are Python's own: a float, an int, or the choice itself."""
        published = {**POINT, "hidden_layers": 50.0, "width": 64, "dropout": 0}
        sampler = PaperStartSampler(published=published, seed=0)
        study = study_of(sampler, storage=storage)
        study.optimize(mixed, n_trials=12)

        for trial in study.trials:
            for name in ("learning_rate", "momentum", "dropout"):
                assert type(trial.params[name]) is float
            for name in ("hidden_layers", "width", "batch_size"):
                assert type(trial.params[name]) is int

    def test_a_branch_is_refined_from_its_own_trials(self) -> None:
        """A conditional hyperparameter's region follows trials that had it."""

        def objective(trial: Trial) -> float:
            if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd":
                return abs(trial.suggest_float("momentum", 0.0, 0.99) - 0.9) - 5
            return abs(trial.suggest_float("beta1", 0.5, 0.99) - 0.6)

        study = study_of(PaperStartSampler(seed=0))
        study.optimize(objective, n_trials=120)
        momenta = [t.params["momentum"] for t in study.trials if "momentum" in t.params]
        betas = [t.params["beta1"] for t in study.trials if "beta1" in t.params]

        assert np.median(momenta[-30:]) == pytest.approx(0.9, abs=0.05)
        assert len(betas) > 5  # though each of them is worse than any momentum

    def test_a_range_may_change(self) -> None:
        """Ranges that move from trial to trial get values inside of them."""

        def objective(trial: Trial) -> float:
            low = trial.number % 7
            layers = trial.suggest_int("layers", low + 1, low + 4)
            units = [
                trial.suggest_int(f"units{k}", 1, 2 ** (k + 3), log=True)
                for k in range(layers)
            ]
            assert low < layers < low + 5
            return trial.suggest_float("x", low, low + 1.0) + sum(units)

        study = study_of(PaperStartSampler(published={"layers": 3, "x": 2.5}, seed=0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # clipped
            study.optimize(objective, n_trials=50)

        assert len(study.trials) == 50

    def test_what_was_learned_holds_in_another_range(self) -> None:
        """The region is around the best value, also after the range has changed."""
        study = study_of(PaperStartSampler(seed=0))
        for high in (1.0, 100.0):
            study.optimize(
                lambda t, high=high: abs(t.suggest_float("x", 0.0, high) - 0.9),
                n_trials=40,
            )
        near = [
            t.params["x"]
            for t in study.trials[40:]
            if t.user_attrs[DRAW_ATTR]["kind"] == "region"
        ]

        assert max(near[:4]) < 15

    def test_a_name_may_change_its_kind(self) -> None:
        """Trials in which the name was of another kind do not disturb the draw."""
        study = study_of(PaperStartSampler(seed=0))
        for choice in ("a", True, None, 7):
            other = CategoricalDistribution([choice])
            study.add_trial(
                create_trial(
                    params={"x": choice}, distributions={"x": other}, value=1.0
                )
            )
        for _ in range(5):
            trial = study.ask({"x": FloatDistribution(0.0, 1.0, step=0.1)})
            assert 0.0 <= trial.params["x"] <= 1.0

    def test_ordered_choices_are_refined(self) -> None:
        """Batch sizes as choices narrow down to the neighbors of the best."""
        sizes = [2**k for k in range(3, 14)]
        study = study_of(PaperStartSampler(published={"batch_size": 16}, seed=0))
        study.optimize(
            lambda t: (
                abs(math.log2(t.suggest_categorical("batch_size", sizes)) - 10)
                + t.suggest_float("x", 0, 0.1)
            ),
            n_trials=80,
        )
        late = [
            math.log2(t.params["batch_size"])
            for t in study.trials[40:]
            if t.user_attrs[DRAW_ATTR]["kind"] == "region"
        ]

        assert np.mean(np.abs(np.array(late) - 10) <= 1) > 0.9


# ------------------------------------------------------------------- the cost


def lines_of(action: Callable[[], object]) -> int:
    """How many lines of the package an action executes."""
    package, count = str(Path(paperstart.__file__).parent), 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(package):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def test_a_trial_costs_the_same_after_many_as_after_few() -> None:
    """Asking for trial 5,000 does no more work than asking for trial 200."""
    sampler = PaperStartSampler(published=POINT, seed=0)
    study, counts = study_of(sampler), []
    distributions = optuna.samplers.RandomSampler(seed=0)
    filler = study_of(distributions)
    filler.optimize(mixed, n_trials=100)
    for many in (2, 48):
        study.add_trials(filler.trials * many)
        study.optimize(mixed, n_trials=5)  # reads what is new
        counts.append(
            np.median(
                [lines_of(lambda: study.optimize(mixed, n_trials=1)) for _ in "12345"]
            )
        )

    assert len(study.trials) == 5020
    assert counts[1] < 1.5 * counts[0]
