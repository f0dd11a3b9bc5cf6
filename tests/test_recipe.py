"""A recipe: what a program gets of it, and what it refuses to be."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pickle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FixedTrial

from paperstart.errors import RecipeFormatError
from paperstart.recipe import Recipe

any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SOURCE = {
    "kind": "paper",
    "where": "table 2",
    "url": "https://arxiv.org/abs/1512.03385v1",
}


def value(of: object, **more: object) -> dict[str, object]:
    """The data of one hyperparameter."""
    return {"value": of, "source": SOURCE, **more}


def alternative(of: object) -> dict[str, object]:
    """The data of one other published value."""
    return {"value": of, "source": SOURCE}


def data(**hyperparameters: object) -> dict[str, Any]:
    """The data of a recipe with these hyperparameters."""
    return {
        "id": "own",
        "title": "A title",
        "model": "A model",
        "arxiv": "1512.03385",
        "year": 2015,
        "task": "image-classification",
        "dataset": "CIFAR-10",
        "hyperparameters": hyperparameters or {"learning_rate": value(0.1)},
        "checked": datetime.date(2026, 1, 31),
    }


def recipe(**hyperparameters: object) -> Recipe:
    """A recipe with these hyperparameters."""
    return Recipe.from_data(data(**hyperparameters))


def refusal(broken: object) -> str:
    """What the error says about ``broken``."""
    with pytest.raises(RecipeFormatError) as caught:
        Recipe.from_data(broken)
    return str(caught.value)


class TestUse:
    """What a program gets of a recipe."""

    def test_published_are_plain_values(self) -> None:
        """A program gets something else than numbers, text, truth values and lists."""
        made = recipe(
            learning_rate=value(0.1),
            batch_size=value(256),
            nesterov=value(True),
            lr_schedule=value("step"),
            lr_decay_epochs=value([30, 60]),
        )

        assert made.published == {
            "learning_rate": 0.1,
            "batch_size": 256,
            "nesterov": True,
            "lr_schedule": "step",
            "lr_decay_epochs": [30, 60],
        }

    def test_published_is_a_copy(self) -> None:
        """Whoever changes the published values changes the recipe."""
        made = recipe(lr_decay_epochs=value([30, 60]))
        made.published["lr_decay_epochs"].append(90)

        assert made.published == {"lr_decay_epochs": [30, 60]}

    def test_a_recipe_is_frozen(self) -> None:
        """A recipe can be changed after it was checked."""
        made = recipe()

        with pytest.raises(dataclasses.FrozenInstanceError):
            made.year = 2016  # type: ignore[misc]
        with pytest.raises(dataclasses.FrozenInstanceError):
            made.hyperparameters["learning_rate"].value = 1.0  # type: ignore[misc]

    def test_a_recipe_reaches_another_process(self) -> None:
        """A worker gets another recipe than the one that was sent to it."""
        made = recipe(lr_decay_epochs=value([30, 60]), learning_rate=value(0.1))

        assert pickle.loads(pickle.dumps(made)) == made

    def test_its_json_is_the_same_recipe(self) -> None:
        """What ``--json`` prints has lost something of the recipe."""
        made = recipe(
            optimizer=value("sgd", alternatives=[alternative("adam")]),
            lr_decay_epochs=value([30, 60], alternatives=[alternative([40])]),
            momentum=value(0.9, low=0.5),
        )
        text = json.dumps(made.as_data(), allow_nan=False)

        assert Recipe.from_data(json.loads(text)) == made

    def test_it_makes_a_search_space(self) -> None:
        """A recipe's ranges and choices are not those of its search space."""
        made = recipe(
            learning_rate=value(0.1, low=0.01, high=0.5),
            optimizer=value("sgd", choices=["sgd", "adam"]),
            lr_decay_epochs=value([30, 60]),
        )

        assert made.search_space() == {
            "learning_rate": FloatDistribution(0.01, 0.5, log=True),
            "optimizer": CategoricalDistribution(["sgd", "adam"]),
        }

    def test_it_suggests_every_hyperparameter(self) -> None:
        """An objective misses a value, or gets another than the one it fixed."""
        made = recipe(learning_rate=value(0.1), epochs=value(90), shortcut=value("b"))
        trial = FixedTrial({"learning_rate": 0.2})

        assert made.suggest(trial, fixed={"epochs": 3}) == {
            "learning_rate": 0.2,
            "epochs": 3,
            "shortcut": "b",
        }


class TestCompletion:
    """What a hyperparameter's name says fills in what the file leaves out."""

    def test_scale_and_range_follow_the_name(self) -> None:
        """A learning rate has no scale, or a range that the table does not give."""
        hp = recipe(learning_rate=value(0.1)).hyperparameters["learning_rate"]

        assert (hp.scale, hp.low, hp.high) == ("log", 0.001, 1.0)

    def test_the_file_has_the_last_word(self) -> None:
        """A recipe's own scale and range are overwritten."""
        given_ = value(64, scale="linear", low=32, high=128)
        hp = recipe(hidden_units=given_).hyperparameters["hidden_units"]

        assert (hp.scale, hp.low, hp.high) == ("linear", 32, 128)

    def test_the_range_reaches_the_alternatives(self) -> None:
        """Another published value lies where a search never looks."""
        given_ = value(0.1, alternatives=[alternative(3.0), alternative(1e-7)])
        hp = recipe(learning_rate=given_).hyperparameters["learning_rate"]

        assert (hp.low, hp.high) == (1e-7, 3.0)

    def test_alternatives_become_choices(self) -> None:
        """What papers chose between is not searched, or is searched twice."""
        others = [alternative("adam"), alternative("sgd"), alternative("adam")]
        hp = recipe(optimizer=value("sgd", alternatives=others)).hyperparameters

        assert hp["optimizer"].choices == ("sgd", "adam")

    @pytest.mark.parametrize(
        ("name", "spelled", "number_type"),
        [
            ("learning_rate", 1, float),
            ("dropout", 0, float),
            ("batch_size", 256, int),
            ("epochs", 90, int),
            ("epochs", 2.4, float),
        ],
    )
    def test_the_type_follows_the_name(
        self, name: str, spelled: float, number_type: type
    ) -> None:
        """A rate that is spelled 1 is searched over whole numbers."""
        published = recipe(**{name: value(spelled)}).published[name]

        assert type(published) is number_type

    @pytest.mark.parametrize("scale", ["log", "log1m", "linear"])
    def test_a_name_of_ones_own(self, scale: str) -> None:
        """A hyperparameter that is not canonical has no range."""
        hp = recipe(discount=value(0.5, scale=scale)).hyperparameters["discount"]

        assert hp.low is not None
        assert hp.high is not None
        assert hp.low < 0.5 < hp.high

    def test_what_is_not_searched_has_no_range(self) -> None:
        """A base rate, a list or a word gets a range all the same."""
        made = recipe(
            learning_rate_base=value(0.1),
            lr_decay_epochs=value([30, 60]),
            shortcut=value("projection"),
            seed=value(7, scale="fixed"),
        )

        assert {hp.low for hp in made.hyperparameters.values()} == {None}
        assert {hp.choices for hp in made.hyperparameters.values()} == {None}


CONTRADICTIONS = [
    ("momentum", value(1.5), "momentum.value: found 1.5, which no momentum can be"),
    (
        "momentum",
        value(1.5, scale="linear"),
        "which no momentum can be; write a number",
    ),
    ("dropout", value(-0.1), "write a number from 0 to 1"),
    ("learning_rate", value(-1), "write a number of at least 0"),
    (
        "batch_size",
        value(0),
        "which no batch_size can be; write a number of at least 1",
    ),
    ("batch_size", value(256.0), "not a whole number; write it without a dot"),
    ("batch_size", value([32, 0.5]), "not a whole number; write it without a dot"),
    ("learning_rate", value("0.1"), "found '0.1', which is not a number"),
    ("learning_rate", value(True), "found True, which is not a number"),
    ("optimizer", value(5), "found 5, which is not a word; write a text"),
    ("momentum", value([0.9, 7]), "found 7, which no momentum can be"),
    (
        "momentum",
        value(0.9, alternatives=[alternative(9)]),
        "alternatives.0.value: found 9, which no momentum can be",
    ),
    (
        "learning_rate",
        value(0.1, alternatives=[alternative("high")]),
        "alternatives.0.value: found 'high', which is not a number",
    ),
    ("learning_rate", value(0.1, low=0.2), "outside its own range 0.2 to 1.0"),
    (
        "learning_rate",
        value(0.1, high=0.01),
        "widen low and high, or correct the value",
    ),
    ("learning_rate", value(0.1, low=0.5, high=0.01), "outside its own range"),
    ("learning_rate", value(0.1, low=-1.0), "low: found -1.0; write a number of at"),
    ("momentum", value(0.9, high=1.2), "high: found 1.2; write a number from 0 to 1"),
    ("own", value(-3, scale="log"), "found -3, which no own can be"),
    ("own", value(2, scale="log1m"), "write a number of at most 1"),
    ("own", value(0, scale="log"), "low: found no range; write low and high"),
    ("own", value(3), "own is not a canonical name; write scale: log, log1m or linear"),
    ("lr_schedule", value("cosine", scale="log"), "found log for 'cosine'"),
    ("lr_decay_epochs", value([30], scale="log"), "scale: found log for (30,)"),
    ("flag", value(True, scale="linear"), "found linear for True"),
    ("optimizer", value("sgd", low=1), "low: found a range on the scale categorical"),
    ("optimizer", value("sgd", choices=["adam", "lamb"]), "outside its own choices"),
    ("dropout", value(0.1, choices=[0.1, 0.2]), "found choices on the scale linear"),
    ("optimizer", value("sgd", choices=["sgd"]), "write a list of two choices or more"),
    ("optimizer", value("sgd", choices=["sgd", "sgd"]), "write each choice once"),
    ("learning_rate", value(float("nan")), "found nan; write a finite number"),
    ("learning_rate", value(float("inf")), "found inf; write a finite number"),
    ("learning_rate", value(10**400), "write a finite number"),
    (
        "learning_rate",
        value(0.1, high=float("inf")),
        "found inf; write a finite number",
    ),
    ("learning_rate", value(0.1, low=True), "found True; write a finite number"),
    ("learning_rate", value(0.1, low="0"), "found '0'; write a finite number"),
    ("own", value([]), "found []; write a list of finite numbers"),
    ("own", value([1, "a"]), "write a list of finite numbers: [30, 60]"),
    ("own", value([1, True]), "write a list of finite numbers: [30, 60]"),
    ("own", value({"a": 1}), "write a number, a text, true or false, or a list"),
    ("own", value("two\nlines"), "found 'two\\nlines'; write one line of visible text"),
    ("own", value("\x9b2J"), "found '\\x9b2J'; write one line of visible text"),
    ("own", value("abc\u202e"), "write one line of visible text"),
    ("own", value(" "), "write one line of visible text"),
]


class TestRefusals:
    """What contradicts itself is no recipe."""

    @pytest.mark.parametrize(("name", "broken", "words"), CONTRADICTIONS)
    def test_one_hyperparameter(
        self, name: str, broken: dict[str, object], words: str
    ) -> None:
        """A contradiction is taken, or is not explained."""
        assert words in refusal(data(**{name: broken}))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (
                {"hyperparameters": {}},
                "hyperparameters: found none; write at least one",
            ),
            ({"arxiv": None}, "arxiv: found nothing; write the arXiv id, or a url"),
            ({"undisclosed": ["learning_rate"]}, "learning_rate, which has a value"),
            ({"undisclosed": ["dropout", "dropout"]}, "dropout, which is named above"),
        ],
    )
    def test_a_recipe_as_a_whole(self, change: dict[str, object], words: str) -> None:
        """Two parts of a recipe may contradict each other."""
        assert words in refusal({**data(), **change})

    def test_all_contradictions_are_named(self) -> None:
        """Whoever mends a recipe learns of its mistakes one after the other."""
        message = refusal(data(momentum=value(2), dropout=value(3), own=value(4)))

        assert "hyperparameters.momentum.value: found 2" in message
        assert "hyperparameters.dropout.value: found 3" in message
        assert "hyperparameters.own.scale: found nothing" in message

    def test_a_source_is_a_must(self) -> None:
        """A value without a source becomes part of a recipe."""
        assert "hyperparameters.dropout.source" in refusal(data(dropout={"value": 0.1}))

    def test_a_url_does_without_an_arxiv_id(self) -> None:
        """What was never on arXiv cannot be a recipe."""
        made = Recipe.from_data(
            {**data(), "arxiv": None, "url": "https://example.org/paper"}
        )

        assert made.arxiv is None


TWO = ["Kaiming He", "{BigScience Workshop}"]


class TestAuthors:
    """Who published it, each name as BibTeX reads it."""

    def test_they_keep_their_order(self) -> None:
        """A name is lost or moved, here or by way of JSON."""
        made = Recipe.from_data({**data(), "authors": TWO})

        assert made.authors == tuple(TWO)
        assert made.as_data()["authors"] == tuple(TWO)
        assert Recipe.from_data(json.loads(json.dumps(made.as_data()))) == made

    def test_a_recipe_does_without(self) -> None:
        """A recipe must name authors, or its JSON cannot be read back without them."""
        made = recipe()

        assert made.authors == ()
        assert made.as_data()["authors"] is None
        assert Recipe.from_data(made.as_data()) == made

    @pytest.mark.parametrize(
        "name",
        [
            *("Plato", "Laurens van der Maaten", "Łukasz Kaiser", "Andrea O'Brien"),
            *(
                "Peter F. {Smith Jr.}",
                "{Barnes and Noble, Inc.}",
                "Andy Anders",
                "宮本茂",
            ),
            *("{others}", "A" * 200, "Otto Others-And"),
        ],
    )
    def test_a_name(self, name: str) -> None:
        """A real name is refused."""
        assert Recipe.from_data({**data(), "authors": [name]}).authors == (name,)

    @pytest.mark.parametrize(
        "name",
        [
            *("He, Kaiming", "Kaiming He and Jian Sun", "and", "AND Co", "Co And"),
            *("others", " Kaiming He", "Kaiming He ", "Kaiming  He", "{a", "a}"),
            *("{{a}}", "{}", "{ a}", "{a }", "a{b}}", "}{", "Jos{\\'e}", "a\\b"),
            *("A" * 201, "{a " * 80_000, "a " * 120_000, "{a}" * 80_000),
        ],
        ids=lambda name: name[:12],
    )
    def test_no_name(self, name: str) -> None:
        """BibTeX reads other names than these, or LaTeX stops; or it takes long."""
        said = refusal({**data(), "authors": ["Kaiming He", name]})

        assert said.startswith("authors.1: found ")
        assert len(said) < 250

    @pytest.mark.parametrize(
        ("authors", "words"),
        [
            ([], "authors: found 0 entries; write at least 1, or leave the key out"),
            (["A"] * 1001, "authors: found 1,001 entries; write at most 1,000"),
            ("Kaiming He", "write a list: [one, two]"),
            ([["Kaiming He"]], "authors.0: found ['Kaiming He']; write text"),
            (["a\nb"], "authors.0: found 'a\\nb'; write one line of visible text"),
            ([None, 5], "authors.1: found 5; write text"),
            (
                ["He, Kaiming"],
                "write one 'Given Family' without a comma, or an organiz",
            ),
        ],
    )
    def test_no_authors(self, authors: object, words: str) -> None:
        """A mistake is taken, or is not explained."""
        assert words in refusal({**data(), "authors": authors})

    def test_a_thousand(self) -> None:
        """The long list of a large collaboration is refused."""
        made = Recipe.from_data({**data(), "authors": ["{A and B}"] * 1000})

        assert len(made.authors) == 1000


JUNK = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(["", "sgd", "log", "categorical", "fixed", "1e-4", "a b\n"]),
        st.just(SOURCE),
        st.dates(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["value", "source", "scale", "low", "alternatives"]), inner
        ),
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(["learning_rate", "momentum", "epochs", "optimizer", "own"])
FIELDS = st.sampled_from(
    ["value", "source", "scale", "low", "high", "choices", "alternatives", "unit"]
)


def assert_sound(made: Recipe) -> None:
    """A recipe, however it came about, keeps its promises."""
    json.dumps(made.as_data(), allow_nan=False)
    for hp in made.hyperparameters.values():
        if hp.scale in ("log", "log1m", "linear"):
            assert hp.low <= hp.value <= hp.high
        if hp.choices is not None:
            assert hp.value in hp.choices
        assert hp.source.where
        assert hp.source.url


@any_speed
@given(NAMES, st.dictionaries(FIELDS, JUNK))
def test_any_hyperparameter_is_sound_or_refused(
    name: str, junk: dict[str, object]
) -> None:
    """Some data of a hyperparameter end in another error than ours."""
    try:
        made = recipe(**{name: value(0.5, **junk)})
    except RecipeFormatError:
        return
    assert_sound(made)


@any_speed
@given(
    st.sampled_from(
        [*data(), "authors", "aliases", "undisclosed", "weights", "reported"]
    ),
    JUNK,
)
def test_any_field_is_sound_or_refused(field: str, junk: object) -> None:
    """Some data of a recipe end in another error than ours."""
    try:
        made = Recipe.from_data({**data(), field: junk})
    except RecipeFormatError:
        return
    assert_sound(made)
