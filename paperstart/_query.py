"""Which recipes does a person ask for?

Each question is answered on summaries. A name that no recipe has is an error with near
names; questions that exclude each other have an empty answer.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from paperstart._index import Summary
from paperstart.errors import RecipeNotFoundError

_FEW = 40  # names that an error message can list


def chosen(
    every: Sequence[Summary],
    words: Iterable[str] = (),
    *,
    task: str | None = None,
    dataset: str | None = None,
    optimizer: str | None = None,
    fields: Sequence[str] = (),
) -> list[Summary]:
    """The recipes to which everything applies.

    Args:
        every: the catalog.
        words: each occurs in the id, an alias, the title, the model or the data set.
        task: the task's name.
        dataset: words that occur in the data set's name.
        optimizer: the published optimizer's name.
        fields: hyperparameters that are published.

    Raises:
        RecipeNotFoundError: nowhere in the catalog is there such a task, data set,
            optimizer or hyperparameter.
    """
    if task is not None:
        _refuse_unknown("the task", task, {s.task for s in every})
    if optimizer is not None:
        optimizer = _spelling(optimizer)
        known = {s.optimizer for s in every if s.optimizer is not None}
        _refuse_unknown("the optimizer", optimizer, known)
    for field in fields:
        known = {name for s in every for name in s.published}
        _refuse_unknown("a value for", field, known)
    data_words = _words([dataset]) if dataset is not None else []
    if not any(_has(data_words, s.dataset) for s in every):
        raise _no_dataset(str(dataset), every)
    text = _words(words)
    return [
        summary
        for summary in every
        if task in (None, summary.task)
        and optimizer in (None, summary.optimizer)
        and all(field in summary.published for field in fields)
        and _has(data_words, summary.dataset)
        and _has(text, *_texts(summary))
    ]


def _texts(summary: Summary) -> list[str]:
    texts = [summary.id, summary.title, summary.model, summary.dataset]
    return [*texts, *summary.aliases]


def _words(texts: Iterable[str]) -> list[str]:
    return [word for text in texts for word in text.casefold().split()]


def _has(words: Iterable[str], *texts: str) -> bool:
    """Whether each word occurs in one of the texts."""
    folded = [text.casefold() for text in texts]
    return all(any(word in text for text in folded) for word in words)


def _spelling(name: str) -> str:
    return name.strip().lower()


def _refuse_unknown(what: str, name: str, known: Iterable[str]) -> None:
    known = sorted(known)
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=3)
    todo = f"Did you mean {' or '.join(near)}?"
    if not near or len(known) <= _FEW:
        shown = [*known[:_FEW], *(["..."] if len(known) > _FEW else [])]
        todo = f"There are: {', '.join(shown)}."
    raise RecipeNotFoundError(f"No recipe has {what} {name!r}. {todo}")


def _no_dataset(asked: str, every: Iterable[Summary]) -> RecipeNotFoundError:
    names = {word.strip(",():") for s in every for word in _words([s.dataset])}
    near = [n for w in _words([asked]) for n in difflib.get_close_matches(w, names, 2)]
    todo = (
        f"Did you mean {' or '.join(near)}?"
        if near
        else "`paperstart recipes` shows the data set of each."
    )
    return RecipeNotFoundError(
        f"No recipe has {asked!r} in the name of its data set. {todo}"
    )
