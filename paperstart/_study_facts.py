"""What must a study's storage know, so that a report can be made from it alone?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.study import Study

from paperstart.errors import RecipeFormatError
from paperstart.recipe import Recipe

RECIPE_ATTR = "paperstart.recipe"
"""Study attribute: the id of the recipe that it started from."""
_DATA_ATTR = "paperstart.recipe_data"  # the whole: a file of one's own may be gone
_NAMES_ATTR = "paperstart.names"
PRICE_ATTR = "paperstart.price_per_gpu_hour"
"""Study attribute: what a GPU costs an hour, in the user's own money."""


@dataclass(frozen=True)
class StudyFacts:
    """What a study's storage says beside its trials.

    Attributes:
        recipe: where the study started, or ``None`` if from no recipe.
        names: canonical names of what goes by another name in the objective.
        price_per_gpu_hour: in the user's own money; ``None`` if nobody said.
    """

    recipe: Recipe | None
    names: Mapping[str, str]
    price_per_gpu_hour: float | None

    def hyperparameter(self, name: str) -> Any:
        """The recipe's hyperparameter of this name, or ``None``."""
        if self.recipe is None:
            return None
        return self.recipe.hyperparameters.get(self.names.get(name, name))


def remember(
    study: Study, recipe: Recipe | None, names: Mapping[str, str] | None = None
) -> None:
    """Write into the study what a report will ask for, unless it is there."""
    known = study.user_attrs
    if recipe is not None and _DATA_ATTR not in known:
        study.set_user_attr(RECIPE_ATTR, recipe.id)
        study.set_user_attr(_DATA_ATTR, recipe.as_data())
    if names and known.get(_NAMES_ATTR) != dict(names):
        study.set_user_attr(_NAMES_ATTR, dict(names))


def recall(study: Study) -> StudyFacts:
    """What `remember` wrote; with nothing written, a study without a recipe."""
    attrs = study.user_attrs
    return StudyFacts(
        recipe=_recipe(attrs),
        names=attrs.get(_NAMES_ATTR, {}),
        price_per_gpu_hour=attrs.get(PRICE_ATTR),
    )


def _recipe(attrs: Mapping[str, Any]) -> Recipe | None:
    data = attrs.get(_DATA_ATTR)
    if data is not None:
        try:
            return Recipe.from_data(data)
        except RecipeFormatError:  # written by another version
            pass
    if attrs.get(RECIPE_ATTR) is None:
        return None
    from paperstart.catalog import load_recipe  # late: most studies have the data
    from paperstart.errors import RecipeNotFoundError

    try:
        return load_recipe(attrs[RECIPE_ATTR])
    except RecipeNotFoundError:
        return None
