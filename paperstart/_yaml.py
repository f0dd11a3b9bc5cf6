"""What does a recipe file literally say, and on which line?

Reads YAML into plain values and keeps the line of every key. YAML 1.1 has traps that
turn a number into text or text into a number; each is refused here by name, with the
spelling that works.
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from paperstart.errors import RecipeFormatError

Path = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, if built
_LOOKS_LIKE_NUMBER = re.compile(
    r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?"
)
_DIRECTIVE = re.compile("(?:^|[\r\n\x85\u2028\u2029])%")
_UNPRINTABLE = yaml.reader.Reader.NON_PRINTABLE
_TAG = "tag:yaml.org,2002:"
_HINTS = {
    "mapping values are not allowed": 'put text that has ": " in it in quotes',
    "that cannot start any token": "indent with spaces, and put text in quotes",
    "expected a single document": "write one recipe in each file, without ---",
    "expected <block end>": "put keys of one level in one column",
}
_TOO_DEEP = ("found too many levels", "write it flat")
MAX_DEPTH = 12
MAX_VALUES = 20_000  # a recipe has some hundreds; what has more is no recipe


@dataclass
class Document:
    """The plain values of one file, and where each stands.

    Attributes:
        name: the file, as messages name it.
        data: dicts, lists, text, numbers, truth values, dates.
        lines: line of each value, counted from 1, by its path of keys.
    """

    name: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of ``path``, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def error(self, path: Path, found: str, todo: str) -> RecipeFormatError:
        """An error that names the file, the line and the key."""
        line = self.line(path)
        place = self.name if line is None else f"{self.name}:{line}"
        key = ".".join(map(str, path))
        text = f"{key}: {found}" if key else found
        return RecipeFormatError(visible(f"{place}: {text}; {todo}."))


def visible(text: str) -> str:
    """``text`` with a backslash for what would not show, or would move the cursor."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def read_yaml(text: str, name: str) -> Document:
    """Read ``text`` into plain values.

    Raises:
        RecipeFormatError: the text is not YAML, or says something that YAML reads as
            other than it looks.
    """
    document = Document(name)
    unprintable = _UNPRINTABLE.search(text)
    if unprintable is not None:
        document.lines[()] = text.count("\n", 0, unprintable.start()) + 1
        found = f"found the control character {unprintable[0]!r}"
        raise document.error((), found, "leave it out")
    directive = _DIRECTIVE.search(text)
    if directive is not None:  # libyaml compares each with each
        document.lines[()] = text.count("\n", 0, directive.end()) + 1
        raise document.error((), "found a directive (%)", "leave the line out")
    try:
        _refuse_size(text, document)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is not None:
            document.lines[()] = mark.line + 1
        found = " ".join(filter(None, (error.context, error.problem)))
        if "nesting depth" in found:  # PyYAML 6.0.4 counts before we do
            raise document.error((), *_TOO_DEEP) from None
        todo = next((_HINTS[h] for h in _HINTS if h in found), "mend the syntax here")
        raise document.error((), f"not YAML: {found}", todo) from None
    except yaml.YAMLError as error:
        found = f"not YAML: {str(error).splitlines()[0]}"
        raise document.error((), found, "write plain printable text") from None
    if node is None:
        raise document.error((), "found an empty file", "write a recipe")
    document.data = _plain(node, (), document, set())
    return document


def _refuse_size(text: str, document: Document) -> None:
    """Refuse what takes long, or overflows C's stack, before libyaml composes it."""
    depth = values = 0
    for event in yaml.parse(text, Loader=_LOADER):
        values += isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or values > MAX_VALUES:
            mark = event.start_mark
            document.lines[()] = 1 if mark is None else mark.line + 1
            if depth > MAX_DEPTH:
                raise document.error((), *_TOO_DEEP)
            found = f"found more than {MAX_VALUES:,} values"
            raise document.error((), found, "split the file")


def _plain(node: yaml.Node, path: Path, document: Document, seen: set[int]) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if id(node) in seen:
        raise document.error(path, "found a YAML alias (*name)", "write the value out")
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, path, document)
    if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
        return [
            _plain(item, (*path, i), document, seen)
            for i, item in enumerate(node.value)
        ]
    if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
        return _mapping(node, path, document, seen)
    raise document.error(path, f"found the tag {node.tag}", "leave the tag out")


def _mapping(
    node: yaml.MappingNode, path: Path, document: Document, seen: set[int]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
            document.lines[path] = line
            is_text = isinstance(key_node, yaml.ScalarNode)
            found = _short(key_node.value) if is_text else "a list or a mapping"
            raise document.error(
                path,
                f"found the key {found}, which is not a name",
                "write a word, in quotes if YAML takes it for something else",
            )
        key = key_node.value
        place = (*path, key)
        if key in result:
            first = document.lines[place]
            document.lines[place] = line
            raise document.error(
                place, f"found twice, first on line {first}", "keep one of the two"
            )
        document.lines[place] = line
        result[key] = _plain(value_node, place, document, seen)
    return result


def _scalar(node: yaml.ScalarNode, path: Path, document: Document) -> Any:
    text, kind = node.value, node.tag.removeprefix(_TAG)
    if kind == "str":
        is_plain = not node.style  # None from PyYAML's own loader, "" from libyaml's
        if is_plain and _LOOKS_LIKE_NUMBER.fullmatch(text):
            raise document.error(
                path,
                f"found {_short(text)}, which YAML reads as text",
                f"write {_short(_respelled(text))}, or put it in quotes if it is text",
            )
        return text
    if kind == "int" and re.fullmatch(r"[-+]?(0|[1-9][0-9]{0,17})", text):
        return int(text)
    if kind == "float" and _LOOKS_LIKE_NUMBER.fullmatch(text) and "_" not in text:
        if path == ("arxiv",):
            raise document.error(
                path, f"found the number {text}", f'write it in quotes: "{text}"'
            )
        if math.isfinite(float(text)):
            return float(text)
    if kind == "bool" and text in ("true", "false"):
        return text == "true"
    if kind == "timestamp" and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return _date(text, path, document)
    found = f"found {_short(text) or 'nothing'} (YAML: {_short(kind)})"
    raise document.error(path, found, _instead(kind, text))


def _instead(kind: str, text: str) -> str:
    """What to write instead of ``text``, which YAML reads as ``kind``."""
    return {
        "int": "write a plain decimal number, or put it in quotes if it is text",
        "float": "write a finite decimal number such as 1.0e-4",
        "bool": f'write true or false, or "{text}" in quotes if it is text',
        "null": "write a value, or leave the key out",
        "timestamp": "write a day such as 2026-01-31, or put it in quotes",
        "value": "put it in quotes",
    }.get(kind, "leave the tag out")


def _date(text: str, path: Path, document: Document) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise document.error(
            path, f"found {text}: {error}", "write a real day"
        ) from None


def _respelled(text: str) -> str:
    """The spelling of a number that YAML 1.1 takes for one: 1e-4 as 1.0e-4."""
    mantissa, _, exponent = text.replace("_", "").lower().partition("e")
    if "." not in mantissa and not exponent:
        sign = "-" if mantissa.startswith("-") else ""
        return sign + (mantissa.lstrip("+-0") or "0")  # `int` refuses 5,000 digits
    if "." not in mantissa:
        mantissa += ".0"
    elif mantissa.lstrip("+-").startswith("."):
        mantissa = mantissa.replace(".", "0.", 1)
    if not exponent:
        return mantissa
    return f"{mantissa}e{exponent if exponent[0] in '+-' else '+' + exponent}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
