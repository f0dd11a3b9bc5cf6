"""What may be tried: distributions around published values, and values for a trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial

from paperstart import list_recipes, load_recipe
from paperstart._scales import Scale
from paperstart.errors import PaperstartError, SearchSpaceError
from paperstart.space import search_space, suggest, suggest_one


@dataclass(frozen=True)
class Published:
    """A hyperparameter with no more than the search space asks of it."""

    value: Any
    scale: Scale = "linear"
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] | None = None
    searched: bool = True


PAPER = {
    "optimizer": Published("sgd", "categorical", choices=("sgd", "adam")),
    "learning_rate": Published(0.1, "log", 0.001, 1.0),
    "momentum": Published(0.9, "log1m", 0.5, 0.99),
    "batch_size": Published(96, "log", 12, 400),
    "hidden_layers": Published(18, "linear", 9, 36),
    "weight_decay": Published(0.0, "log", 0.0, 0.1),
    "init": Published("he", "categorical"),
    "milestones": Published((30, 60), "fixed"),
    "rate_base": Published(0.4, "fixed"),
    "channels": Published(64, "log", 6, 640, searched=False),
    "loss": Published("l1", "categorical", choices=("l1", "l2"), searched=False),
}
ONLY_IF_ASKED = {"channels", "loss"}
SEARCHED = sorted({*PAPER} - {"init", "milestones", "rate_base"} - ONLY_IF_ASKED)


def refusal(**arguments: Any) -> str:
    """What the error says about ``arguments``."""
    with pytest.raises(SearchSpaceError) as caught:
        search_space(PAPER, ("dropout", "image_size"), **arguments)
    return str(caught.value)


class TestSearchSpace:
    """The distributions."""

    @pytest.mark.parametrize(
        ("name", "distribution"),
        [
            ("optimizer", CategoricalDistribution(["sgd", "adam"])),
            ("learning_rate", FloatDistribution(0.001, 1.0, log=True)),
            ("momentum", FloatDistribution(0.5, 0.99)),  # the sampler bends it
            ("batch_size", CategoricalDistribution([16, 32, 64, 96, 128, 256])),
            ("hidden_layers", IntDistribution(9, 36)),
            ("weight_decay", FloatDistribution(0.0, 0.1)),
        ],
    )
    def test_each_has_its_range(
        self, name: str, distribution: BaseDistribution
    ) -> None:
        """Numbers get their range, integers stay integers, batch sizes are powers."""
        assert search_space(PAPER)[name] == distribution

    def test_some_things_are_not_searched(self) -> None:
        """A text without choices, a list or what a recipe leaves alone is searched."""
        assert sorted(search_space(PAPER)) == SEARCHED

    def test_what_is_undisclosed_has_its_usual_range(self) -> None:
        """A canonical name without a value is searched where its range is known."""
        space = search_space(PAPER, ("dropout", "image_size", "shuffling"))

        assert space["dropout"] == FloatDistribution(0.0, 0.7)
        assert "image_size" not in space  # nothing says what is usual
        assert "shuffling" not in space

    def test_a_batch_of_tokens_says_how_large_it_is(self) -> None:
        """Beside published tokens, an undisclosed batch size is varied first."""
        undisclosed = ("bn_momentum", "bn_epsilon", "batch_size")
        paper = {"batch_tokens": Published(3_200_000, "log", 1, 10**7, searched=False)}

        assert sorted(search_space(paper, undisclosed)) == ["bn_epsilon", "bn_momentum"]
        assert sorted(search_space(paper, undisclosed, only=undisclosed)) == sorted(
            undisclosed
        )
        assert sorted(search_space({}, undisclosed)) == sorted(undisclosed)

    @pytest.mark.parametrize("name", list_recipes())
    def test_a_published_value_lies_in_its_distribution(self, name: str) -> None:
        """Every recipe's own point can be tried in its own search space."""
        recipe = load_recipe(name)
        space = recipe.search_space()
        point = {n: v for n, v in recipe.published.items() if n in space}

        optuna.create_trial(
            params=point, distributions={n: space[n] for n in point}, value=0.0
        )


class TestArguments:
    """What a user says of the search space."""

    def test_what_is_left_alone_may_be_asked_for(self) -> None:
        """Neither ``only`` nor ``ranges`` searches what a recipe leaves alone."""
        left = {
            "channels": IntDistribution(6, 640, log=True),
            "loss": CategoricalDistribution(["l1", "l2"]),
        }

        assert search_space(PAPER, only=["channels", "loss"]) == left
        space = search_space(PAPER, ranges={"channels": (32, 64)})
        assert sorted(space) == sorted({*SEARCHED, "channels"})
        assert space["channels"] == IntDistribution(32, 64, log=True)

    def test_only_these_vary(self) -> None:
        """``only`` leaves out all others."""
        space = search_space(PAPER, only=["momentum", "learning_rate"])

        assert sorted(space) == ["learning_rate", "momentum"]

    def test_what_is_fixed_is_not_searched(self) -> None:
        """``fixed`` takes a name out, also one that ``only`` has."""
        space = search_space(
            PAPER, only=["momentum", "optimizer"], fixed={"momentum": 0}
        )

        assert sorted(space) == ["optimizer"]

    @pytest.mark.parametrize(
        ("name", "asked", "distribution"),
        [
            ("learning_rate", (1e-5, 1e-2), FloatDistribution(1e-5, 1e-2, log=True)),
            ("learning_rate", [0.1, 0.2], CategoricalDistribution([0.1, 0.2])),
            ("hidden_layers", (1.5, 4.5), IntDistribution(2, 4)),
            ("batch_size", (64, 128), CategoricalDistribution([64, 96, 128])),
            ("batch_size", [48, 192], CategoricalDistribution([48, 192])),
            ("image_size", (32, 64), IntDistribution(32, 64, log=True)),
            ("init", ["he", "glorot"], CategoricalDistribution(["he", "glorot"])),
        ],
    )
    def test_ranges_replace_the_recipes(
        self, name: str, asked: Any, distribution: BaseDistribution
    ) -> None:
        """A pair is a range, a list is choices, also for what has no range."""
        space = search_space(PAPER, ("image_size",), ranges={name: asked})

        assert space[name] == distribution


class TestErrors:
    """What is wrong, what was found, and what to do."""

    @pytest.mark.parametrize("argument", ["only", "ranges"])
    def test_a_misspelt_name(self, argument: str) -> None:
        """An unknown name is named, and so is the one that was meant."""
        given = ["lerning_rate"] if argument == "only" else {"lerning_rate": (0, 1)}
        said = refusal(**{argument: given})

        assert "no hyperparameter 'lerning_rate'" in said
        assert "Did you mean learning_rate?" in said

    def test_a_strange_name(self) -> None:
        """Without a near match, the error lists what there is."""
        assert "It has: optimizer, learning_rate" in refusal(only=["zzz"])

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"only": "momentum"}, "give a list: only=['momentum']"),
            ({"only": ["milestones"]}, "published as [30, 60] and is not searched"),
            ({"only": ["init"]}, "set it with fixed="),
            ({"only": ["image_size"]}, "ranges={'image_size': (low, high)}"),
            ({"ranges": {"learning_rate": (1.0, 0.1)}}, "low 1.0, high 0.1"),
            ({"ranges": {"learning_rate": (0.0, float("inf"))}}, "two finite numbers"),
            ({"ranges": {"learning_rate": 0.1}}, "give (low, high) for a number"),
            ({"ranges": {"learning_rate": "0.1"}}, "ranges has '0.1'"),
            ({"ranges": {"learning_rate": []}}, "or a list of choices"),
            ({"ranges": {"batch_size": (130, 200)}}, "No power of two lies between"),
            ({"ranges": {"hidden_layers": (2.2, 2.8)}}, "No whole number lies between"),
        ],
    )
    def test_the_words(self, arguments: dict[str, Any], words: str) -> None:
        """The error says what was found and what to write instead."""
        assert words in refusal(**arguments)

    def test_one_root(self) -> None:
        """Whoever catches the package's error, or a ``ValueError``, catches it."""
        assert issubclass(SearchSpaceError, (PaperstartError, ValueError))


class TestSuggest:
    """A value for every hyperparameter."""

    def test_searched_fixed_and_published(self) -> None:
        """Each value comes from the trial, from ``fixed``, or from the paper."""
        trial = FixedTrial({"learning_rate": 0.25, "dropout": 0.5})
        values = suggest(
            trial,
            PAPER,
            ("dropout",),
            only=["learning_rate", "dropout"],
            fixed={"batch_size": 8, "device": "cpu"},
        )

        assert values == {
            **{name: hp.value for name, hp in PAPER.items()},
            **{"milestones": [30, 60], "learning_rate": 0.25, "dropout": 0.5},
            **{"batch_size": 8, "device": "cpu"},
        }

    @pytest.mark.parametrize(
        "sampler",
        [
            optuna.samplers.TPESampler(seed=0, n_startup_trials=2),
            optuna.samplers.RandomSampler(seed=0),
        ],
    )
    def test_other_samplers_take_it(self, sampler: optuna.samplers.BaseSampler) -> None:
        """A recipe's search space is one for any sampler of Optuna's."""
        recipe = load_recipe("resnet20-cifar10")
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda t: recipe.suggest(t)["learning_rate"], n_trials=5)

        assert sorted(study.trials[-1].params) == sorted(recipe.search_space())

    def test_what_is_left_alone_stays_as_published(self) -> None:
        """A value that is not searched changes, or is missing."""
        recipe = load_recipe("ppo-atari")
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        trial = study.ask()
        values = recipe.suggest(trial)

        assert {*recipe.published} <= {*values}
        for name in {*recipe.published} - {*trial.params}:
            assert values[name] == recipe.published[name]
        assert "frame_skip" not in trial.params

    def test_whole_numbers_stay_whole(self) -> None:
        """No float comes out where the paper has a whole number."""
        recipe = load_recipe("bert-base-pretraining")
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        values = recipe.suggest(study.ask())

        for name, value in recipe.published.items():
            assert isinstance(values[name], int) == isinstance(value, int), name

    @pytest.mark.parametrize(
        ("distribution", "value"),
        [
            (FloatDistribution(0.0, 1.0, step=0.25), 0.75),
            (FloatDistribution(1e-3, 1.0, log=True), 0.5),
            (IntDistribution(0, 8, step=2), 6),
            (IntDistribution(1, 8, log=True), 5),
            (CategoricalDistribution(["a", "b"]), "b"),
        ],
    )
    def test_the_trial_is_asked_for_just_this(
        self, distribution: BaseDistribution, value: Any
    ) -> None:
        """Step, log and choices reach the trial as they are."""
        trial = FixedTrial({"x": value})

        assert suggest_one(trial, "x", distribution) == value
        assert trial.distributions == {"x": distribution}
