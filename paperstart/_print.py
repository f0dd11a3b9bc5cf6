"""How does an answer reach stdout?"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import click


def print_page(renderable: Any) -> None:
    """Print tables whose text is data: ``[30]`` is no markup, ``py:100:`` no emoji."""
    from rich.console import Console

    style: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
    if sys.stdout is not None and sys.stdout.isatty():
        Console(**style).print(renderable)
        return
    # Into a pipe or a file nothing is folded, nor filled up with blanks: `grep` and
    # `diff` read lines.
    page = io.StringIO()
    Console(file=page, width=10_000, **style).print(renderable)
    write("\n".join(line.rstrip() for line in page.getvalue().splitlines()))


def print_json(data: Any) -> None:
    write(json.dumps(data, indent=2, allow_nan=False))


def write(text: str) -> None:
    """Print ``text`` whole; what stdout's encoding lacks, with a backslash."""
    if sys.stdout is None:  # closed by whoever started us
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"Error: cannot write to stdout ({error.strerror}).", file=sys.stderr)
        sys.stdout = None  # Python would try once more at its end, and complain
        raise click.exceptions.Exit(1) from None
