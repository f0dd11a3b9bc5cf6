"""What can go wrong?

Every error derives from `PaperstartError` and from a builtin. The text is built where
the facts are: it says what is wrong, what was found, and what to do.
"""


class PaperstartError(Exception):
    """The root of all errors that paperstart raises on purpose."""


class RecipeNotFoundError(PaperstartError, LookupError):
    """No recipe has the name that was asked for."""


class RecipeFormatError(PaperstartError, ValueError):
    """A recipe file cannot be read, or says something that a recipe cannot say."""


class AdaptError(PaperstartError, ValueError):
    """A published point cannot be moved to this batch size or length."""


class SearchSpaceError(PaperstartError, ValueError):
    """A range, a name or a fixed value does not fit the recipe."""


class ObjectiveError(PaperstartError, ValueError):
    """The objective of a search cannot be found, or is not callable."""


class SearchError(PaperstartError, RuntimeError):
    """A search cannot start or cannot go on."""


class TrackingError(PaperstartError, RuntimeError):
    """MLflow cannot be told what happened."""
