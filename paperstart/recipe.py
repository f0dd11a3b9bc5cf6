"""What is a recipe?

One published training set-up: model, data, hyperparameters, reported result, and for
each value the place where it was published. The model below is the schema of the files
in ``recipes/``; there is no second one. A recipe is checked once, when it is made, and
frozen: behind that line nobody asks whether a key is there.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paperstart import _fields as fields
from paperstart._fields import FieldError, Problem
from paperstart._scales import CANONICAL, SCALES, Scale
from paperstart._sense import complete_all, contradictions
from paperstart._shape import SOURCE_HINT, list_of, mapping_of, maybe, shape
from paperstart.errors import RecipeFormatError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

    from paperstart.adapt import Adapted
    from paperstart.space import Ranges


@dataclass(frozen=True)
class Source:
    """Where one value was published.

    Attributes:
        kind: ``paper``, ``official-code`` (its authors' code), or ``official-docs``.
        where: section, table or appendix; or the file's path and line.
        url: the arXiv id with its version, or the file at a commit.
    """

    kind: str
    where: str
    url: str


@dataclass(frozen=True)
class Alternative:
    """Another published value of the same hyperparameter, with its own source."""

    value: Any
    source: Source
    note: str | None = None


@dataclass(frozen=True)
class Hyperparameter:
    """One published hyperparameter.

    Attributes:
        value: as published: a number, a text, a truth value, or a list of milestones.
        source: where it was published.
        unit: what one of it is, where the type does not say.
        scale: ``log``, ``log1m`` (log of 1 - x), ``linear``, ``categorical``, or
            ``fixed`` for what is not searched.
        low: lower end of the range of a coarse round; ``None`` unless a number.
        high: its upper end.
        range_source: what the range comes from: ``recipe``, how many recipes of this
            task and optimizer publish a value (``12 recipes``), or ``default``.
        choices: what a search may choose from; ``None`` unless categorical.
        alternatives: other published values.
        note: one line of ours, where a reader would stumble.
    """

    value: Any
    source: Source
    unit: str | None = None
    scale: Scale = "fixed"
    low: float | int | None = None
    high: float | int | None = None
    range_source: str | None = None
    choices: tuple[Any, ...] | None = None
    alternatives: tuple[Alternative, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class Weights:
    """Published weights of the architecture, by name."""

    library: str
    name: str
    license: str | None = None


@dataclass(frozen=True)
class Reported:
    """A published result of this set-up."""

    metric: str
    value: float | int
    split: str
    source: Source
    unit: str | None = None


@dataclass(frozen=True)
class Compute:
    """What the published training ran on."""

    devices: str
    source: Source
    hours: float | int | None = None


@dataclass(frozen=True)
class TrainingExamples:
    """How many examples one epoch has."""

    value: int
    source: Source
    note: str | None = None


@dataclass(frozen=True)
class Recipe:
    """One published training set-up, each value with the place of its publication."""

    id: str
    title: str
    model: str
    year: int
    task: str
    dataset: str
    hyperparameters: dict[str, Hyperparameter]
    checked: datetime.date
    arxiv: str | None = None
    url: str | None = None
    aliases: tuple[str, ...] = ()
    undisclosed: tuple[str, ...] = ()
    weights: tuple[Weights, ...] = ()
    reported: tuple[Reported, ...] = ()
    compute: Compute | None = None
    training_examples: TrainingExamples | None = None
    note: str | None = None

    @classmethod
    def from_data(cls, data: Any) -> Recipe:
        """The recipe that plain data describes, as a YAML or JSON file has it.

        Raises:
            RecipeFormatError: the data is not a recipe; a line for each problem.
        """
        try:
            return checked_recipe(data)
        except FieldError as error:
            raise RecipeFormatError(
                "\n".join(
                    f"{'.'.join(map(str, path)) or 'recipe'}: {found}; {todo}."
                    for path, found, todo in error.problems
                )
            ) from None

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON, from which `from_data` makes the same recipe."""
        data = dataclasses.asdict(self)
        data["checked"] = self.checked.isoformat()
        return data

    @property
    def published(self) -> dict[str, Any]:
        """The published values by name: numbers, text, truth values, lists."""
        return {
            name: list(hp.value) if isinstance(hp.value, tuple) else hp.value
            for name, hp in self.hyperparameters.items()
        }

    def adapt(
        self,
        *,
        batch_size: int | None = None,
        epochs: float | None = None,
        steps: int | None = None,
    ) -> Adapted[Recipe]:
        """The published point at another batch size or length, by published rules.

        Args:
            batch_size: global, as in the recipe.
            epochs: length of the training.
            steps: the same in steps, instead of epochs.

        Raises:
            AdaptError: an argument makes no sense, the recipe does not say what a rule
                needs, or a rule would leave its range.
        """
        from paperstart.adapt import adapt  # late: most readers of a recipe stay

        return adapt(self, batch_size=batch_size, epochs=epochs, steps=steps)

    def search_space(
        self,
        *,
        only: Collection[str] | None = None,
        fixed: Mapping[str, Any] | None = None,
        ranges: Ranges | None = None,
    ) -> dict[str, BaseDistribution]:
        """Optuna distributions around the published values, on natural scales.

        Args:
            only: vary these hyperparameters alone.
            fixed: hyperparameters that are not searched, with their values.
            ranges: ``(low, high)``, or a list of choices, instead of the recipe's.

        Raises:
            SearchSpaceError: a name is unknown or a range is empty.
        """
        from paperstart.space import search_space  # late: Optuna costs 0.3 s

        return search_space(
            self.hyperparameters,
            self.undisclosed,
            only=only,
            fixed=fixed,
            ranges=ranges,
        )

    def suggest(
        self,
        trial: BaseTrial,
        *,
        only: Collection[str] | None = None,
        fixed: Mapping[str, Any] | None = None,
        ranges: Ranges | None = None,
    ) -> dict[str, Any]:
        """A value for every hyperparameter, for use in an objective.

        What is searched comes from ``trial.suggest_*``, what is ``fixed`` as given, all
        else as published. Takes the arguments of `search_space`.
        """
        from paperstart.space import suggest  # late: Optuna costs 0.3 s

        return suggest(
            trial,
            self.hyperparameters,
            self.undisclosed,
            only=only,
            fixed=fixed,
            ranges=ranges,
        )


_LINE = fields.line
_SOURCE = shape(
    Source,
    {
        "kind": fields.one_of("paper", "official-code", "official-docs"),
        "where": _LINE,
        "url": fields.url,
    },
    {},
    hint=SOURCE_HINT,
)
_ALTERNATIVE = shape(
    Alternative,
    {"value": fields.plain_value, "source": _SOURCE},
    {"note": maybe(_LINE)},
)
_ORIGIN = r"recipe|default|[0-9]{1,6} recipes"
_HYPERPARAMETER = shape(
    Hyperparameter,
    {"value": fields.plain_value, "source": _SOURCE},
    {
        "unit": maybe(_LINE),
        "scale": maybe(fields.one_of(*SCALES)),
        "low": maybe(fields.number),
        "high": maybe(fields.number),
        "range_source": maybe(fields.matching(_ORIGIN, "what the range comes from")),
        "choices": maybe(fields.choices),
        "alternatives": list_of(_ALTERNATIVE),
        "note": maybe(_LINE),
    },
)
_WEIGHTS = shape(Weights, {"library": _LINE, "name": _LINE}, {"license": maybe(_LINE)})
_REPORTED = shape(
    Reported,
    {
        "metric": fields.name,
        "value": fields.number,
        "split": _LINE,
        "source": _SOURCE,
    },
    {"unit": maybe(_LINE)},
)
_COMPUTE = shape(
    Compute,
    {"devices": _LINE, "source": _SOURCE},
    {"hours": maybe(fields.number)},
)
_EXAMPLES = shape(
    TrainingExamples,
    {"value": fields.whole(1, 10**15), "source": _SOURCE},
    {"note": maybe(_LINE)},
)
RECIPE_SHAPE = shape(
    Recipe,
    {
        "id": fields.identifier,
        "title": _LINE,
        "model": _LINE,
        "year": fields.whole(1950, 2100),
        "task": fields.identifier,
        "dataset": _LINE,
        "hyperparameters": mapping_of(fields.name, _HYPERPARAMETER, CANONICAL),
        "checked": fields.day,
    },
    {
        "arxiv": maybe(fields.arxiv),
        "url": maybe(fields.url),
        "aliases": list_of(fields.alias),
        "undisclosed": list_of(fields.name),
        "weights": list_of(_WEIGHTS),
        "reported": list_of(_REPORTED),
        "compute": maybe(_COMPUTE),
        "training_examples": maybe(_EXAMPLES),
        "note": maybe(_LINE),
    },
)
"""The schema of a recipe file: its keys, and what each may be."""


def checked_recipe(data: Any) -> Recipe:
    """The recipe that ``data`` describes.

    Raises:
        FieldError: the data is not a recipe; has every problem with its path.
    """
    if isinstance(data, dict) and isinstance(data.get("hyperparameters"), dict):
        values = data["hyperparameters"]
        data = {**data, "hyperparameters": complete_all(data.get("task"), values)}
    recipe: Recipe = RECIPE_SHAPE(data)
    problems = _inconsistencies(recipe)
    if problems:
        raise FieldError(problems)
    return recipe


def _inconsistencies(recipe: Recipe) -> list[Problem]:
    """What only shows when a recipe is seen as a whole."""
    problems: list[Problem] = []
    if not recipe.hyperparameters:
        problems.append((("hyperparameters",), "found none", "write at least one"))
    if recipe.arxiv is None and recipe.url is None:
        problems.append((("arxiv",), "found nothing", "write the arXiv id, or a url"))
    seen: set[str] = set()
    for i, name in enumerate(recipe.undisclosed):
        if name in recipe.hyperparameters or name in seen:
            named = "has a value" if name in recipe.hyperparameters else "is named"
            todo = "leave it out of one of the two"
            found = f"found {name}, which {named} above"
            problems.append((("undisclosed", i), found, todo))
        seen.add(name)
    for name, hp in recipe.hyperparameters.items():
        for path, found, todo in contradictions(name, hp):
            problems.append((("hyperparameters", name, *path), found, todo))
    return problems
