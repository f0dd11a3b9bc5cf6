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
from paperstart._parts import (
    COMPUTE,
    EXAMPLES,
    HYPERPARAMETER,
    REPORTED,
    WEIGHTS,
    Compute,
    Hyperparameter,
    Reported,
    TrainingExamples,
    Weights,
)
from paperstart._scales import CANONICAL
from paperstart._sense import complete_all, contradictions
from paperstart._shape import list_of, mapping_of, maybe, shape
from paperstart.errors import RecipeFormatError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

    from paperstart.adapt import Adapted
    from paperstart.space import Ranges


MOST_AUTHORS = 1000


@dataclass(frozen=True)
class Recipe:
    """One published training set-up, each value with the place of its publication.

    The authors are those of the publication, in its order, each as BibTeX reads a name:
    ``Given Family``, or an organization in braces. There are none if the file has none.
    """

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
    authors: tuple[str, ...] = ()
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
        data["authors"] = self.authors or None
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

        Of what an expert varies first (each hyperparameter says so: ``searched``), or
        of what is asked for; the rest keeps its published value.

        Args:
            only: vary these hyperparameters alone, whichever they are.
            fixed: hyperparameters that are not searched, with their values.
            ranges: ``(low, high)``, or a list of choices, instead of the recipe's; also
                for what else would not be searched.

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


RECIPE_SHAPE = shape(
    Recipe,
    {
        "id": fields.identifier,
        "title": fields.line,
        "model": fields.line,
        "year": fields.whole(1950, 2100),
        "task": fields.identifier,
        "dataset": fields.line,
        "hyperparameters": mapping_of(fields.name, HYPERPARAMETER, CANONICAL),
        "checked": fields.day,
    },
    {
        "arxiv": maybe(fields.arxiv),
        "url": maybe(fields.url),
        "authors": maybe(list_of(fields.author, 1, MOST_AUTHORS), nothing=()),
        "aliases": list_of(fields.alias),
        "undisclosed": list_of(fields.name),
        "weights": list_of(WEIGHTS),
        "reported": list_of(REPORTED),
        "compute": maybe(COMPUTE),
        "training_examples": maybe(EXAMPLES),
        "note": maybe(fields.line),
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
