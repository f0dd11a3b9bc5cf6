"""Each program of the README runs as it stands there, and prints what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import optuna
from mlflow import MlflowClient

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The code block behind the README's marker of this name."""
    marked = rf"<!-- program: {re.escape(name)} -->\n```\w+\n(.*?)```"
    (found,) = re.findall(marked, README, flags=re.DOTALL)
    return found


def run(command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as a user's shell would, with our commands on the path."""
    scripts = str(Path(sys.executable).parent)
    return subprocess.run(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env={**os.environ, "PATH": scripts + os.pathsep + os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )


def test_the_callback_program(tmp_path: Path) -> None:
    """A plain Trainer with our callback leaves one finished run with batch norm."""
    (tmp_path / "program.py").write_text(block("callback"))

    said = run([sys.executable, "program.py"], tmp_path).stdout

    (run_id,) = re.findall(r"^MLflow run (\w+)$", said, flags=re.MULTILINE)
    found = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}").get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params == {"learning_rate": "0.1"}
    assert {"train/loss", "batchnorm/train_eval_gap_max"} <= set(found.data.metrics)


def test_the_batch_norm_program(tmp_path: Path) -> None:
    """A plain loop finds its planted fault, once, and cures it."""
    (tmp_path / "program.py").write_text(block("batch norm"))

    said = run([sys.executable, "program.py"], tmp_path).stdout.splitlines()

    alarms = [line for line in said if line.startswith("1: ")]
    assert len(alarms) == 1
    assert "statistics are stale" in alarms[0]
    assert len([line for line in said if "train-eval gap" in line]) == 10
    assert said[-1] == "statistics recomputed from 7 batches"


def test_the_sampler_program(tmp_path: Path) -> None:
    """Trial 0 has the paper's own values under the objective's own names."""
    (tmp_path / "program.py").write_text(block("sampler"))

    said = run([sys.executable, "program.py"], tmp_path).stdout

    own = "the paper's own point: {'lr': 0.1, 'momentum': 0.9, 'batch_size': 256}"
    assert own in said
    scores = re.findall(r" (0\.\d+|1\.0)$", said, flags=re.MULTILINE)
    assert float(scores[1]) >= float(scores[0])


def test_the_commands(tmp_path: Path) -> None:
    """The search runs as written, twice, and its study has both calls' trials."""
    (tmp_path / "train.py").write_text(block("train.py"))

    for line in block("commands").splitlines():
        said = run(line.removeprefix("$ "), tmp_path)
        assert "paper's own point" in said.stdout

    said = run(block("report").removeprefix("$ "), tmp_path).stdout
    assert said == "report.html\n"
    assert "<!DOCTYPE html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    study = optuna.load_study(
        study_name="resnet20-cifar10-objective",
        storage=f"sqlite:///{tmp_path / 'study.db'}",
    )
    assert len(study.trials) == 16
    assert study.trials[0].params == {"learning_rate": 0.1, "momentum": 0.9}


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    """The README's recipe file is right, and `paperstart recipe` takes its path."""
    (tmp_path / "my-model.yaml").write_text(block("recipe"), encoding="utf-8")

    assert run("paperstart check my-model.yaml", tmp_path).stdout == ""
    assert "0.0003" in run("paperstart recipe ./my-model.yaml", tmp_path).stdout


def test_what_the_recipe_command_prints(tmp_path: Path) -> None:
    """Every line that the first screen shows is a line of the command's answer."""
    (shown,) = re.findall(r"\$ paperstart recipe resnet50\n(.*?)```", README, re.DOTALL)
    said = run("paperstart recipe resnet50", tmp_path).stdout
    answer = {" ".join(line.split()) for line in said.splitlines()}

    for line in shown.splitlines():
        assert line == "..." or " ".join(line.split()) in answer


def test_every_command_of_the_table_exists(tmp_path: Path) -> None:
    """A command that the README names has a help page."""
    for command in set(re.findall(r"^\| `paperstart (\w+)", README, re.MULTILINE)):
        assert "Usage" in run(f"paperstart {command} --help", tmp_path).stdout
