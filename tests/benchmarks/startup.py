"""How long does ``paperstart recipe resnet50`` take, beside ``import optuna``?

Run by hand: ``python tests/benchmarks/startup.py [RUNS]``. The two are measured in
turn, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

COMMANDS = {
    "paperstart recipe resnet50": ["-m", "paperstart", "recipe", "resnet50"],
    "import optuna": ["-c", "import optuna"],
    "bare Python": ["-c", ""],
}
CHECKOUT = Path(__file__).parents[2]


def seconds(arguments: list[str]) -> float:
    """The wall-clock time of one fresh Python."""
    path = {} if find_spec("paperstart") else {"PYTHONPATH": str(CHECKOUT)}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **path},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def main() -> None:
    """Print the medians of several runs, and their ratio."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    for arguments in COMMANDS.values():  # what is not yet compiled or cached
        seconds(arguments)
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    medians = {name: statistics.median(series) for name, series in times.items()}
    for name, series in times.items():
        print(
            f"{name:28} median {medians[name]:.3f} s  "
            f"({min(series):.3f} to {max(series):.3f}, {runs} runs)"
        )
    ratio = medians["paperstart recipe resnet50"] / medians["import optuna"]
    print(f"{'ratio of the first two':28} {ratio:.2f}")


if __name__ == "__main__":
    main()
