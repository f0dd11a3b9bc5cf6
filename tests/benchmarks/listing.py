"""How long does ``paperstart recipes`` take, with the shipped index and without?

Run by hand: ``python tests/benchmarks/listing.py [RUNS]``. Without: the same recipes as
a folder of one's own, each file with one more comment, so that the index knows none.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from startup import CHECKOUT, seconds


def unknown_to_the_index(folder: Path) -> int:
    """Put a changed copy of every recipe into ``folder``; how many there are."""
    paths = sorted((CHECKOUT / "recipes").glob("*.yaml"))
    for path in paths:
        (folder / path.name).write_bytes(path.read_bytes() + b"# a copy\n")
    return len(paths)


def main() -> None:
    """Print the median of several runs of each."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    command = ["-m", "paperstart", "recipes", "--json"]
    os.environ.pop("PAPERSTART_CATALOG", None)
    with tempfile.TemporaryDirectory() as folder:
        count = unknown_to_the_index(Path(folder))
        cases = {
            f"{count} recipes, index": command,
            f"{count} recipes, alias": ["-m", "paperstart", "recipe", "resnet-50"],
            f"{count} recipes, all parsed": [*command, "--catalog", folder],
            "bare Python": ["-c", ""],
        }
        for name, arguments in cases.items():
            seconds(arguments)
            times = [seconds(arguments) for _ in range(runs)]
            middle = statistics.median(times)
            spread = f"{min(times):.3f} to {max(times):.3f}, {runs} runs"
            print(f"{name:28} median {middle:.3f} s  ({spread})")


if __name__ == "__main__":
    main()
