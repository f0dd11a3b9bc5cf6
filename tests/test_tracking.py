"""What MLflow is told: names, params beside published values, and that all arrives."""

from __future__ import annotations

import math
import threading
import warnings
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.utils.validation import (
    MAX_ENTITY_KEY_LENGTH,
    _validate_metric_name,
    _validate_param_name,
)
from optuna.trial import Trial

from paperstart import PaperStartSampler, load_recipe
from paperstart._store import ensure_experiment, open_store, start_run
from paperstart.recipe import Recipe
from paperstart.tracking import (
    RunLog,
    clean_key,
    failure_tags,
    failure_text,
    metric_name,
    param_values,
    trial_name,
    trial_tags,
)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("resnet20-cifar10")


@pytest.fixture
def client(store: str) -> MlflowClient:
    return open_store(store)


@pytest.fixture
def log(client: MlflowClient, store: str) -> RunLog:
    """The log of a running run in a store of its own."""
    experiment_id = ensure_experiment(client, store, "tracking")
    return RunLog(client, start_run(client, experiment_id, None, {}))


class TestNames:
    """Under which names metrics are found."""

    @pytest.mark.parametrize(
        ("name", "stage", "expected"),
        [
            ("val_acc", "val", "val/acc"),
            ("valid/acc", "val", "val/acc"),
            ("validation_loss", "train", "val/loss"),
            ("train_loss_step", "train", "train/loss_step"),
            ("training/loss", "val", "train/loss"),
            ("test_top1", "test", "test/top1"),
            ("loss", "train", "train/loss"),
            ("loss", "val", "val/loss"),
            ("value_estimate", "train", "train/value_estimate"),
            ("tests_run", "train", "train/tests_run"),
            ("head/val_acc", "val", "val/head/val_acc"),
            ("val_acc/dataloader_idx_1", "val", "val/acc/dataloader_idx_1"),
            ("val", "val", "val/val"),
            ("train_", "train", "train/train_"),
        ],
    )
    def test_sections(self, name: str, stage: str, expected: str) -> None:
        """A stage in the name decides; else the stage in which it was logged."""
        assert metric_name(name, stage) == expected

    @pytest.mark.parametrize("name", ["lr", "val/top 1: mean.v2-b", "batchnorm/gap"])
    def test_a_good_key_stays(self, name: str) -> None:
        """What MLflow takes is not changed."""
        assert clean_key(name) == name

    @given(
        st.one_of(
            st.text(max_size=300),
            st.text(alphabet="./a \\:@\n%_é", max_size=300),
            st.sampled_from(["acc@1", "../up", "a//b", "/", "...", "a/./b", "x" * 251]),
        )
    )
    def test_mlflow_takes_every_key(self, name: str) -> None:
        """No name of a user's makes MLflow refuse a whole batch."""
        key = clean_key(name)

        _validate_metric_name(key)
        _validate_param_name(key)
        assert 0 < len(key) <= MAX_ENTITY_KEY_LENGTH
        assert clean_key(key) == key


class TestParams:
    """Values beside what was published."""

    def test_values_published_and_ratio(self, recipe: Recipe) -> None:
        """Each value stands beside the paper's, with a ratio where there is one."""
        values = param_values(
            {"learning_rate": 0.05, "momentum": 0.99, "optimizer": "sgd"}, recipe
        )

        assert values == {
            "learning_rate": 0.05,
            "published/learning_rate": 0.1,
            "ratio/learning_rate": "0.5",
            "momentum": 0.99,
            "published/momentum": 0.9,
            "ratio/momentum": "0.1",  # of 1 - momentum
            "optimizer": "sgd",
            "published/optimizer": recipe.published["optimizer"],
        }

    def test_a_name_of_the_users_own(self, recipe: Recipe) -> None:
        """A mapped name finds its published value, and keeps the user's name."""
        values = param_values({"lr": 0.2}, recipe, {"lr": "learning_rate"})

        assert values == {"lr": 0.2, "published/lr": 0.1, "ratio/lr": "2"}

    @pytest.mark.parametrize("name", ["seed", "published"])
    def test_what_was_not_published(self, recipe: Recipe, name: str) -> None:
        """A value without a counterpart, or without a recipe, stands alone."""
        assert param_values({name: 1}, recipe) == {name: 1}
        assert param_values({"learning_rate": 1}, None) == {"learning_rate": 1}

    def test_the_input_stays(self, recipe: Recipe) -> None:
        """The mapping handed in is not written to."""
        params = {"learning_rate": 0.1}
        param_values(params, recipe)

        assert params == {"learning_rate": 0.1}


class TestTrials:
    """What a trial's run is called and tagged."""

    def test_a_trial_of_ours(self, recipe: Recipe) -> None:
        """Round and published point are told apart from later draws."""
        study = optuna.create_study(sampler=PaperStartSampler(recipe, seed=0))
        trials = []
        for _ in range(2):
            trials.append(study.ask())
            recipe.suggest(trials[-1], only=["learning_rate"])
            study.tell(trials[-1], 1.0)
        first, second = (trial_tags(trial, "s") for trial in trials)

        assert first["paperstart.study"] == "s"
        assert first["paperstart.trial"] == "0"
        assert first["paperstart.published"] == "true"
        assert first["paperstart.round"] == "1"
        assert second["paperstart.published"] == "false"
        assert [trial_name(t) for t in trials] == ["trial 0 (published)", "trial 1"]

    def test_a_trial_of_another_sampler(self) -> None:
        """A trial that another sampler drew has a number, and no round."""
        trial: Trial = optuna.create_study().ask()

        assert trial_name(trial) == "trial 0"
        assert trial_tags(trial, "s") == {
            "paperstart.study": "s",
            "paperstart.trial": "0",
            "paperstart.published": "false",
        }

    def test_a_failure(self) -> None:
        """A run that failed says which error it was, and where."""
        with pytest.raises(ZeroDivisionError) as caught:
            _ = 1 / 0

        assert failure_tags(caught.value) == {"paperstart.failure": "ZeroDivisionError"}
        assert "test_a_failure" in failure_text(caught.value)


class TestRunLog:
    """Everything that a run is told is in the store when it is closed."""

    def test_everything_arrives(
        self, log: RunLog, client: MlflowClient, tmp_path: Path
    ) -> None:
        """Metrics with their steps, params, tags, files and status are all there."""
        (tmp_path / "note.txt").write_text("hello")
        for step in range(5):
            log.log_metrics({"train/loss": step / 2, "train/acc@1": 1}, step)
        log.log_params({"lr": 0.1, "betas": [0.9, 0.99]})
        log.set_tags({"paperstart.trial": "3"})
        log.log_file(tmp_path / "note.txt", "folder")
        log.log_text("a text", "text.txt")
        log.close("FINISHED")

        run = client.get_run(log.run_id)
        history = client.get_metric_history(log.run_id, "train/loss")
        assert [(m.step, m.value) for m in history] == [(k, k / 2) for k in range(5)]
        assert run.data.metrics["train/acc_1"] == 1
        assert run.data.params == {"lr": "0.1", "betas": "[0.9, 0.99]"}
        assert run.data.tags["paperstart.trial"] == "3"
        assert run.info.status == "FINISHED"
        assert run.info.end_time is not None
        paths = [file.path for file in client.list_artifacts(log.run_id)]
        assert paths == ["folder", "text.txt"]

    def test_more_than_mlflow_takes_at_once(
        self, log: RunLog, client: MlflowClient
    ) -> None:
        """2,500 metrics and 250 params arrive, though a request may have fewer."""
        log.log_metrics({f"train/m{k}": k for k in range(2500)}, 0)
        log.log_params({f"p{k}": k for k in range(250)})
        log.close()

        run = client.get_run(log.run_id)
        assert run.data.metrics == {f"train/m{k}": k for k in range(2500)}
        assert run.data.params == {f"p{k}": str(k) for k in range(250)}

    def test_many_small_batches_keep_their_order(
        self, log: RunLog, client: MlflowClient
    ) -> None:
        """Of a tag that is set again and again, the last value stays."""
        for k in range(50):
            log.log_metrics({"train/k": k}, k)
            log.set_tags({"k": k})
            log.flush()
        log.close()

        history = client.get_metric_history(log.run_id, "train/k")
        assert sorted(m.step for m in history) == list(range(50))
        assert client.get_run(log.run_id).data.tags["k"] == "49"

    def test_the_caller_does_not_wait(self, log: RunLog, client: MlflowClient) -> None:
        """Nothing is sent by the thread that logs, until it closes the run."""
        callers = set()
        send = client.log_batch

        def spy(*arguments: object, **batch: object) -> None:
            callers.add(threading.current_thread())
            send(*arguments, **batch)

        client.log_batch = spy  # the real store still gets it
        log.log_metrics({"train/a": 1}, 0)
        log.log_params({"a": 1})
        log.flush()
        log.close()

        assert callers
        assert threading.current_thread() not in callers
        assert client.get_run(log.run_id).data.metrics == {"train/a": 1}

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_what_is_not_finite_is_counted(
        self, log: RunLog, client: MlflowClient, value: float
    ) -> None:
        """NaN and infinities never reach the store; their number does."""
        log.log_metrics({"val/loss": value, "val/acc": 0.5}, 1)
        log.log_metrics({"val/loss": value, "val/f1": value, "train/x": value}, 2)
        log.close()

        metrics = client.get_run(log.run_id).data.metrics
        assert metrics == {
            "val/acc": 0.5,
            "val/nonfinite_count": 3,
            "train/nonfinite_count": 1,
        }
        history = client.get_metric_history(log.run_id, "val/nonfinite_count")
        assert [(m.step, m.value) for m in history] == [(1, 1), (2, 3)]

    def test_a_long_param_is_cut(self, log: RunLog, client: MlflowClient) -> None:
        """A very long value costs no more than its own end."""
        log.log_params({"long": "x" * 10_000, "lr": 0.1})
        log.close()

        params = client.get_run(log.run_id).data.params
        assert params["lr"] == "0.1"
        assert params["long"].startswith("xxx")

    def test_a_resumed_run_keeps_its_params(
        self, log: RunLog, client: MlflowClient
    ) -> None:
        """Params that a resumed run has stay; new ones are added, without a warning."""
        log.log_params({"lr": 0.1})
        log.close()
        again = RunLog(client, log.run_id, client.get_run(log.run_id))
        again.log_params({"lr": 0.2, "epochs": 3})
        again.close()

        assert client.get_run(log.run_id).data.params == {"lr": "0.1", "epochs": "3"}

    def test_closing_again(self, log: RunLog, client: MlflowClient) -> None:
        """A closed run takes more, and keeps its status."""
        log.close("FINISHED")
        log.log_metrics({"test/acc": 0.9}, 0)
        log.close()

        run = client.get_run(log.run_id)
        assert run.data.metrics == {"test/acc": 0.9}
        assert run.info.status == "FINISHED"

    def test_a_file_is_fetched_if_it_is_there(
        self, log: RunLog, tmp_path: Path
    ) -> None:
        """An artifact comes back as it was; one that is not there is no error."""
        log.log_text("a text", "folder/a.txt")

        found = log.fetch_file("folder/a.txt", tmp_path)

        assert found is not None
        assert found.read_text() == "a text"
        assert log.fetch_file("folder/b.txt", tmp_path) is None
        assert log.fetch_file("nowhere/b.txt", tmp_path) is None

    def test_no_thread_is_left(self, log: RunLog) -> None:
        """A closed log leaves no thread behind."""
        before = set(threading.enumerate())
        log.log_metrics({"train/a": 1}, 0)
        assert set(threading.enumerate()) - before
        log.close("FINISHED")

        assert set(threading.enumerate()) - before == set()


class TestOutage:
    """A store that goes away stops no training, and loses nothing."""

    def test_one_warning_and_no_exception(self, log: RunLog, tmp_path: Path) -> None:
        """One warning at the end says that something waits, where, and for whom."""
        log.log_metrics({"train/a": 1}, 0)
        log.close()
        (tmp_path / "mlflow.db").rename(tmp_path / "elsewhere.db")
        (tmp_path / "mlflow.db").mkdir()

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step in range(3):
                log.log_metrics({"train/a": 1}, step)
                log.flush()
            log.log_params({"b": 1})
            log.set_tags({"c": 1})
            log.log_text("text", "text.txt")
            log.close("FINISHED")

        assert [w.category for w in caught] == [RuntimeWarning]
        text = str(caught[0].message)
        assert log.run_id in text
        assert "does not answer" in text
        assert "`paperstart sync`" in text
        assert str(tmp_path.parent) in text

    def test_a_file_that_is_not_there(self, log: RunLog, tmp_path: Path) -> None:
        """What can never be sent is lost, and one warning says so."""
        log.log_file(tmp_path / "nowhere.txt")
        with pytest.warns(RuntimeWarning, match="did not take 1 .*nowhere.txt"):
            log.close()

    def test_all_of_it_arrives_in_order(
        self, log: RunLog, client: MlflowClient, tmp_path: Path
    ) -> None:
        """A store that comes back gets what waited, before what comes then."""
        db = tmp_path / "mlflow.db"
        log.log_metrics({"train/a": 1}, 0)
        log.close()
        db.rename(tmp_path / "elsewhere.db")
        db.mkdir()
        log.log_metrics({"train/a": 2}, 1)
        log.log_text("a text", "a.txt")
        with pytest.warns(RuntimeWarning, match="does not answer"):
            log.close()
        db.rmdir()
        (tmp_path / "elsewhere.db").rename(db)
        log.log_metrics({"train/a": 3}, 2)
        log.close("FINISHED")

        history = client.get_metric_history(log.run_id, "train/a")
        assert [m.value for m in history] == [1, 2, 3]
        assert [f.path for f in client.list_artifacts(log.run_id)] == ["a.txt"]
        assert client.get_run(log.run_id).info.status == "FINISHED"
