"""What is a recipe?

One published training set-up: model, data, hyperparameters, reported result, and for
each value the place where it was published. The model below is the schema of the files
in ``recipes/``; there is no second one. A recipe is checked once, when it is made, and
frozen: behind that line nobody asks whether a key is there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from paperstart._fields import (
    Alias,
    Arxiv,
    Choices,
    Day,
    Identifier,
    Line,
    Name,
    Number,
    PlainValue,
    Problem,
    Url,
    all_wrong,
)
from paperstart._scales import Scale
from paperstart._sense import complete, contradictions

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

    from paperstart.space import Ranges


class _Frozen(BaseModel):
    # Strict: a text "0.1" is not a number and 1 is not a text; extra keys are typos.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Source(_Frozen):
    """Where one value was published.

    Attributes:
        kind: the paper, its authors' code, or its authors' documentation.
        where: section, table or appendix; or the file's path and line.
        url: the arXiv id with its version, or the file at a commit.
    """

    kind: Literal["paper", "official-code", "official-docs"]
    where: Line
    url: Url


class Alternative(_Frozen):
    """Another published value of the same hyperparameter, with its own source."""

    value: PlainValue
    source: Source
    note: Line | None = None


class Hyperparameter(_Frozen):
    """One published hyperparameter.

    Attributes:
        value: as published: a number, a text, a truth value, or a list of milestones.
        source: where it was published.
        unit: what one of it is, where the type does not say.
        scale: ``log``, ``log1m`` (log of 1 - x), ``linear``, ``categorical``, or
            ``fixed`` for what is not searched.
        low: lower end of the range of a coarse round; ``None`` unless a number.
        high: its upper end.
        choices: what a search may choose from; ``None`` unless categorical.
        alternatives: other published values.
        note: one line of ours, where a reader would stumble.
    """

    value: PlainValue
    source: Source
    unit: Line | None = None
    scale: Scale = "fixed"
    low: Number | None = None
    high: Number | None = None
    choices: Choices = None
    alternatives: tuple[Alternative, ...] = Field(default=(), strict=False)
    note: Line | None = None


class Weights(_Frozen):
    """Published weights of the architecture, by name."""

    library: Line
    name: Line
    license: Line | None = None


class Reported(_Frozen):
    """A published result of this set-up."""

    metric: Name
    value: Number
    split: Line
    source: Source
    unit: Line | None = None


class Compute(_Frozen):
    """What the published training ran on."""

    devices: Line
    source: Source
    hours: Number | None = None


class Recipe(_Frozen):
    """One published training set-up, each value with the place of its publication."""

    id: Identifier
    title: Line
    model: Line
    arxiv: Arxiv | None = None
    url: Url | None = None
    year: Annotated[int, Field(ge=1950, le=2100)]
    task: Identifier
    dataset: Line
    aliases: tuple[Alias, ...] = Field(default=(), strict=False)
    hyperparameters: dict[Name, Hyperparameter]
    undisclosed: tuple[Name, ...] = Field(default=(), strict=False)
    weights: tuple[Weights, ...] = Field(default=(), strict=False)
    reported: tuple[Reported, ...] = Field(default=(), strict=False)
    compute: Compute | None = None
    checked: Day
    note: Line | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: Any) -> Any:
        """Fill in what a hyperparameter's name says of its scale and range."""
        if not isinstance(data, dict):
            return data
        values = data.get("hyperparameters")
        if isinstance(values, dict):
            completed = {name: complete(name, hp) for name, hp in values.items()}
            data = {**data, "hyperparameters": completed}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        problems: list[Problem] = []
        if not self.hyperparameters:
            problems.append((("hyperparameters",), "found none", "write at least one"))
        if self.arxiv is None and self.url is None:
            problems.append(
                (("arxiv",), "found nothing", "write the arXiv id, or a url")
            )
        for i, name in enumerate(self.undisclosed):
            if name in self.hyperparameters or name in self.undisclosed[:i]:
                named = "has a value" if name in self.hyperparameters else "is named"
                problems.append(
                    (
                        ("undisclosed", i),
                        f"found {name}, which {named} above",
                        "leave it out of one of the two",
                    )
                )
        for name, hp in self.hyperparameters.items():
            for path, found, todo in contradictions(name, hp):
                problems.append((("hyperparameters", name, *path), found, todo))
        if problems:
            raise all_wrong(problems)
        return self

    @property
    def published(self) -> dict[str, Any]:
        """The published values by name: numbers, text, truth values, lists."""
        return {
            name: list(hp.value) if isinstance(hp.value, tuple) else hp.value
            for name, hp in self.hyperparameters.items()
        }

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
