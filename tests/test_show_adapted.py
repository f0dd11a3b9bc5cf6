"""``paperstart recipe NAME --batch-size ... --epochs ...``, as a shell sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import paperstart
from paperstart import load_recipe

ENVIRONMENT = {
    **{name: text for name, text in os.environ.items() if name != "FORCE_COLOR"},
    "PYTHONPATH": str(Path(paperstart.__file__).parents[1]),
    "PYTHONIOENCODING": "utf-8",
}


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``paperstart recipe`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "paperstart", "recipe", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=ENVIRONMENT,
        check=False,
    )


class TestPage:
    """Both columns, each rule, each source."""

    def test_both_columns(self) -> None:
        """A value, what becomes of it, or its rule is not on the page."""
        done = shell("densenet121", "--batch-size", "512", "--epochs", "30")

        assert (done.returncode, done.stderr) == (0, "")
        lines = [line.split(maxsplit=1) for line in done.stdout.splitlines() if line]
        rows = {line[0]: " ".join(line[-1].split()) for line in lines}
        assert rows["learning_rate"] == "0.1 0.2 times k"
        assert rows["batch_size"] == "256 512 as asked"
        assert rows["lr_decay_epochs"] == "[30, 60] [10, 20] same share of the training"
        assert rows["weight_decay"] == "0.0001 0.0001 as published"
        assert rows["warmup_epochs"].startswith("- 5 gradual warm-up")
        assert rows["k"].startswith("512 / 256")

    def test_every_name_has_a_row(self) -> None:
        """A published value is lost on the way."""
        text = shell("densenet121", "--epochs", "30").stdout

        first = [line.split()[0] for line in text.splitlines() if line.split()]
        assert set(load_recipe("densenet121").published) <= set(first)

    def test_rules_and_their_sources(self) -> None:
        """A published rule comes without its source, or what it leaves open."""
        text = shell("ddpm-cifar10", "--batch-size", "64").stdout

        rules = [line for line in text.splitlines() if line.startswith("rule")]
        (root,) = [line for line in rules if "sqrt" in line]
        assert "times sqrt(k); 1 - k (1 - beta); divided by sqrt(k)" in root
        assert "Malladi et al. 2022, arXiv 2205.10287" in root
        assert "https://" in root
        assert any("same number of examples: our arithmetic" in r for r in rules)
        assert "ema_decay stays as published" in text


class TestData:
    """``--json`` has the recipe as ever, and ``adapted``."""

    def test_json(self) -> None:
        """A program finds no adapted values, or not the recipe's own."""
        done = shell("resnet50", "--batch-size", "64", "--json")

        assert (done.returncode, done.stderr) == (0, "")
        data = json.loads(done.stdout)
        assert data["hyperparameters"]["learning_rate"]["value"] == 0.1
        assert data["adapted"]["published"]["learning_rate"] == 0.025
        assert data["adapted"]["published"]["steps"] == 2_400_000
        changes = {change["name"]: change for change in data["adapted"]["changes"]}
        assert changes["learning_rate"]["published"] == 0.1
        assert changes["learning_rate"]["rule"] == {
            "name": "times k",
            "source": "Goyal et al. 2017, arXiv 1706.02677",
            "where": "section 2.1, linear scaling rule",
            "url": "https://arxiv.org/abs/1706.02677",
        }
        assert "weight_decay" in data["adapted"]["as_published"]

    def test_json_without_a_wish(self) -> None:
        """The recipe as published says ``adapted`` all the same."""
        assert "adapted" not in json.loads(shell("resnet50", "--json").stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("densenet121", "--batch-size", "0"), "batch_size is 0"),
        (("densenet121", "--epochs", "nan"), "epochs is nan"),
        (("densenet121", "--epochs", "9", "--steps", "9"), "give one of them"),
        (("gpt3-small", "--batch-size", "64"), "published batch_size"),
        (("vit-b16", "--batch-size", "65536"), "beta1 of vit-b16 would become"),
    ],
)
def test_refusals(arguments: tuple[str, ...], said: str) -> None:
    """A wish that makes no sense is the work's failure, or a traceback."""
    done = shell(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
