"""The published point at another batch size or length: rules, remarks, refusals."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
import pickle
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperstart import PaperStartSampler, list_recipes, load_recipe
from paperstart._rules import BY_OPTIMIZER, is_rate, length_unit
from paperstart.adapt import Adapted
from paperstart.errors import AdaptError, RecipeFormatError
from paperstart.recipe import Recipe

SOURCE = {
    "kind": "paper",
    "where": "table 2",
    "url": "https://arxiv.org/abs/1512.03385v1",
}
SGD = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "batch_size": 256,
    "momentum": 0.9,
    "weight_decay": 1e-4,
}
ADAM = {
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 256,
    "beta1": 0.9,
    "beta2": 0.999,
    "epsilon": 1e-8,
}


def recipe(examples: int | None = None, **values: object) -> Recipe:
    """A recipe with these values, and as many training examples."""
    data: dict[str, Any] = {
        "id": "own",
        "title": "A title",
        "model": "A model",
        "arxiv": "1512.03385",
        "year": 2015,
        "task": "image-classification",
        "dataset": "CIFAR-10",
        "hyperparameters": {
            name: {"value": value, "source": SOURCE, "scale": scale_of(name, value)}
            for name, value in values.items()
        },
        "checked": datetime.date(2026, 1, 31),
    }
    if examples is not None:
        data["training_examples"] = {"value": examples, "source": SOURCE}
    for hp in data["hyperparameters"].values():
        if hp["scale"] is None:
            del hp["scale"]
    return Recipe.from_data(data)


def scale_of(name: str, value: object) -> str | None:
    """A scale where a name that is not canonical needs one."""
    return "fixed" if isinstance(value, list) or name in OTHERS else None


OTHERS = {"min_learning_rate", "diffusion_steps", "warmup_learning_rate"}
OTHERS |= {"batch_size_per_device", "training_tokens"}


def moved(source: Recipe, **asked: Any) -> dict[str, Any]:
    """The changes alone, by name."""
    return {change.name: change.adapted for change in source.adapt(**asked).changes}


def refusal(source: Recipe, **asked: Any) -> str:
    """What the error says."""
    with pytest.raises(AdaptError) as caught:
        source.adapt(**asked)
    return str(caught.value)


class TestContract:
    """Whatever is asked of whichever recipe."""

    @pytest.mark.parametrize("name", list_recipes())
    def test_nothing_is_lost(self, name: str) -> None:
        """A published name is missing, or neither changed nor as published."""
        source = load_recipe(name)
        own = source.published.get("batch_size")
        # Twice the batch has no beta below 0.5: those are refused, and tested below.
        betas = [v for n, v in source.published.items() if n in ("beta1", "beta2")]
        twice = [own * 2] if own and min(betas, default=1) >= 0.5 else []
        for batch in [own, max(own // 2, 1), *twice] if own else ():
            adapted = source.adapt(batch_size=batch)
            names = {*adapted.as_published, *(c.name for c in adapted.changes)}
            assert set(source.published) <= set(adapted.published) == names
            json.dumps(adapted.as_data(), allow_nan=False)
            for name_ in adapted.as_published:
                assert adapted.published[name_] == source.published[name_]

    def test_every_rule_has_its_place(self) -> None:
        """A published rule comes without its section or its address."""
        for optimizer in BY_OPTIMIZER:
            source = recipe(**{**ADAM, "optimizer": optimizer})
            for change in source.adapt(batch_size=512).changes:
                if "arithmetic" in change.rule.source or change.rule.name == "as asked":
                    continue
                assert "arXiv" in change.rule.source
                assert change.rule.where
                assert str(change.rule.url).startswith("https://")

    def test_the_result_is_frozen_and_plain(self) -> None:
        """A result can be changed, or cannot reach another process or JSON."""
        adapted = recipe(**SGD, epochs=90, lr_decay_epochs=[30, 60]).adapt(epochs=30)

        with pytest.raises(dataclasses.FrozenInstanceError):
            adapted.changes = ()  # type: ignore[misc]
        adapted.published["lr_decay_epochs"].append(90)
        assert adapted.published["lr_decay_epochs"] == [10, 20]
        assert pickle.loads(pickle.dumps(adapted)) == adapted
        data = json.loads(json.dumps(adapted.as_data()))
        assert data["published"] == adapted.published
        assert data["changes"][1]["published"] == [30, 60]

    def test_what_was_published_already_is_no_change(self) -> None:
        """A recipe at its own batch size and length is changed."""
        adapted = recipe(**SGD, epochs=90).adapt(batch_size=256, epochs=90)

        assert (adapted.changes, adapted.remarks) == ((), ())

    @given(
        k=st.sampled_from([1 / 32, 1 / 8, 1 / 2, 2, 5]),
        rate=st.floats(1e-6, 10),
        kind=st.sampled_from(["sgd", "adam", "adamw", "rmsprop", "lamb"]),
        beta=st.floats(0.85, 0.9999),
        epochs=st.integers(1, 1000),
    )
    def test_there_and_back(
        self, k: float, rate: float, kind: str, beta: float, epochs: int
    ) -> None:
        """Adapting back does not give the published point."""
        values = {**ADAM, "optimizer": kind, "learning_rate": rate, "beta1": beta}
        values |= {"batch_size": 1024, "epochs": 90, "lr_decay_epochs": [30, 60]}
        there = recipe(**values).adapt(batch_size=int(1024 * k), epochs=epochs)
        point = {n: v for n, v in there.published.items() if n in values}
        back = recipe(**point).adapt(batch_size=1024, epochs=90).published

        for name, value in values.items():
            if isinstance(value, (int, float)):
                assert back[name] == pytest.approx(value, rel=1e-9, abs=1e-12)
            elif isinstance(value, list):
                assert back[name] == pytest.approx(value, rel=1e-9)

    @given(batch=st.integers(1, 10**6), steps=st.integers(1, 10**7))
    def test_steps_see_the_same_examples(self, batch: int, steps: int) -> None:
        """With the batch alone changed, the training has another length."""
        found = recipe(**SGD, steps=steps).adapt(batch_size=batch).published["steps"]

        assert isinstance(found, int)
        assert found == 1 or abs(found * batch - steps * 256) <= batch / 2


class TestSgd:
    """Goyal et al. 2017: linear scaling, and a warm-up where the rate grows."""

    @pytest.mark.parametrize(
        ("batch", "rate"), [(8192, 3.2), (64, 0.025), (512, 0.2), (768, 0.3)]
    )
    def test_the_rate_is_linear(self, batch: int, rate: float) -> None:
        """0.1 at 256 is not 3.2 at 8192, to the last digit."""
        adapted = recipe(**SGD).adapt(batch_size=batch)

        assert adapted.published["learning_rate"] == rate
        assert adapted.as_published == ("optimizer", "momentum", "weight_decay")

    def test_every_rate_moves(self) -> None:
        """The end of a schedule keeps its distance to zero instead of to the rate."""
        source = recipe(**SGD, min_learning_rate=0.001, learning_rate_base=0.1)

        assert moved(source, batch_size=128)["min_learning_rate"] == 0.0005
        assert "learning_rate_base" not in moved(source, batch_size=128)

    def test_a_higher_rate_warms_up(self) -> None:
        """The warm-up is not five epochs from the published rate."""
        adapted = recipe(**SGD, epochs=90).adapt(batch_size=8192)
        added = {change.name: change for change in adapted.changes}

        assert added["warmup_epochs"].adapted == 5
        assert added["warmup_learning_rate"].adapted == 0.1
        assert added["warmup_epochs"].published is None
        assert added["warmup_epochs"].rule.where == "section 2.2, gradual warmup"
        assert "warmup_epochs" not in moved(recipe(**SGD), batch_size=64)

    def test_zero_epochs_are_no_warm_up(self) -> None:
        """A recipe that writes its missing warm-up as 0 gets none."""
        source = recipe(**SGD, epochs=90, warmup_epochs=0)

        assert moved(source, batch_size=512)["warmup_epochs"] == 5

    def test_a_short_training_is_not_all_warm_up(self) -> None:
        """A training of four epochs warms up for five."""
        asked = {"batch_size": 512, "epochs": 4}

        assert moved(recipe(**SGD, epochs=90), **asked)["warmup_epochs"] == 2

    def test_the_own_warm_up_stays(self) -> None:
        """A recipe's own warm-up is replaced, or nothing is said about it."""
        adapted = recipe(**SGD, epochs=90, warmup_epochs=10).adapt(batch_size=512)

        assert adapted.published["warmup_epochs"] == 10
        assert "own warm-up (warmup_epochs) is kept" in adapted.remarks[0]

    def test_where_the_rule_ends(self) -> None:
        """A batch that is larger than the paper's largest passes without a word."""
        assert "about 8192" in recipe(**SGD).adapt(batch_size=16384).remarks[0]
        assert recipe(**SGD).adapt(batch_size=8192).remarks == ()


class TestAdaptive:
    """Malladi et al. 2022: the square root, and what goes with it."""

    def test_adam(self) -> None:
        """Four times the batch: not twice the rate, or another beta or epsilon."""
        assert moved(recipe(**ADAM), batch_size=1024) == {
            "batch_size": 1024,
            "learning_rate": 2e-3,
            "beta1": 0.6,
            "beta2": 0.996,
            "epsilon": 5e-9,
        }

    def test_a_smaller_batch(self) -> None:
        """A quarter of the batch does not halve the rate."""
        found = moved(recipe(**ADAM), batch_size=64)

        assert (found["learning_rate"], found["beta1"]) == (5e-4, 0.975)
        assert (found["beta2"], found["epsilon"]) == (0.99975, 2e-8)

    def test_to_the_last_digit(self) -> None:
        """An irrational factor is rounded early."""
        rate = moved(recipe(**ADAM), batch_size=512)["learning_rate"]

        assert rate == pytest.approx(1e-3 * math.sqrt(2), rel=1e-13)

    @pytest.mark.parametrize("optimizer", ["rmsprop", "lamb"])
    def test_only_the_rate_was_read(self, optimizer: str) -> None:
        """A rule that was not read is applied, or its absence is not said."""
        adapted = recipe(**{**ADAM, "optimizer": optimizer}).adapt(batch_size=1024)

        names = [change.name for change in adapted.changes]
        assert names == ["batch_size", "learning_rate"]
        assert "stay as published" in adapted.remarks[0]

    def test_adamw_is_said_to_be_none(self) -> None:
        """AdamW passes for Adam without a word on its weight decay."""
        adapted = recipe(**{**ADAM, "optimizer": "adamw"}).adapt(batch_size=512)

        assert "decoupled weight decay" in adapted.remarks[0]

    def test_a_beta_ends_at_zero(self) -> None:
        """Ten times the batch of beta1 = 0.9 is refused, or more is not."""
        assert moved(recipe(**ADAM), batch_size=2560)["beta1"] == 0
        said = refusal(recipe(**ADAM), batch_size=4096)
        assert "beta1 of own would become -0.6" in said
        assert "batch_size of at most 2560" in said
        assert moved(recipe(**{**ADAM, "beta1": 0.95}), batch_size=5120)["beta1"] == 0

    @pytest.mark.parametrize("values", [{"optimizer": "adagrad"}, {}])
    def test_no_known_rule(self, values: dict[str, str]) -> None:
        """A rate is moved by the rule of another optimizer, or nothing is said."""
        source = recipe(learning_rate=0.1, batch_size=256, steps=100, **values)
        adapted = source.adapt(batch_size=512)

        assert moved(source, batch_size=512) == {"batch_size": 512, "steps": 50}
        assert "no published rule is known here" in adapted.remarks[0]

    def test_an_average_of_the_model(self) -> None:
        """The momentum of a model's average is moved by a rule that was not read."""
        adapted = recipe(**ADAM, ema_decay=0.9999).adapt(batch_size=512)

        assert "ema_decay" in adapted.as_published
        assert "2307.13813" in adapted.remarks[0]
        assert recipe(**ADAM, ema_decay=0.9999, epochs=9).adapt(epochs=3).remarks == ()


class TestLength:
    """Milestones, warm-up and steps keep their share of the training."""

    def test_epochs(self) -> None:
        """A third of the training has other milestones than at a third."""
        source = recipe(
            **SGD,
            epochs=90,
            lr_decay_epochs=[30, 60, 80],
            warmup_epochs=3,
            training_tokens=900,
        )
        adapted = source.adapt(epochs=30)

        assert adapted.published["lr_decay_epochs"] == [10, 20, 26.666666666667]
        assert adapted.published["warmup_epochs"] == 1
        assert adapted.published["training_tokens"] == 300
        assert adapted.published["learning_rate"] == 0.1

    def test_steps_of_another_batch(self) -> None:
        """Steps and their milestones do not shrink with a growing batch."""
        source = recipe(**SGD, steps=64000, lr_decay_steps=[32000, 48000])
        found = moved(source, batch_size=512)

        assert found["steps"] == 32000
        assert found["lr_decay_steps"] == (16000, 24000)

    def test_steps_are_whole_and_never_none(self) -> None:
        """A warm-up of one step gets half a step, or none."""
        source = recipe(**SGD, steps=3, warmup_steps=1)
        found = moved(source, batch_size=1024)

        assert (found["steps"], "warmup_steps" in found) == (1, False)

    def test_steps_asked_for(self) -> None:
        """Steps at another batch size are compared without their batch size."""
        source = recipe(**SGD, steps=1000, epochs=10, warmup_epochs=2)
        found = moved(source, batch_size=128, steps=1000)

        assert (found["epochs"], found["warmup_epochs"]) == (5, 1)

    def test_epochs_of_steps(self) -> None:
        """With the number of examples known, epochs are not turned into steps."""
        source = recipe(1_280_000, **SGD, steps=600_000)
        found = source.adapt(batch_size=64, epochs=30).published

        assert (found["steps"], found["epochs"]) == (600_000, 30)
        assert moved(source, epochs=30)["steps"] == 150_000

    def test_steps_of_epochs(self) -> None:
        """With the number of examples known, steps are not turned into epochs."""
        source = recipe(50_000, **{**SGD, "batch_size": 100}, epochs=90)

        assert moved(source, steps=500 * 30)["epochs"] == 30
        assert moved(source, steps=500 * 30, batch_size=50)["epochs"] == 15

    def test_other_steps(self) -> None:
        """What only sounds like a length of the training is changed."""
        source = recipe(**ADAM, epochs=9, diffusion_steps=1000)

        assert "diffusion_steps" not in moved(source, batch_size=128, epochs=3)

    def test_what_counts_a_batch(self) -> None:
        """Tokens per batch, or the part on each device, contradict the batch."""
        source = recipe(**ADAM, batch_tokens=128_000, batch_size_per_device=32)
        found = moved(source, batch_size=16)

        assert (found["batch_tokens"], found["batch_size_per_device"]) == (8000, 16)
        assert "batch_size_per_device" not in moved(source, batch_size=512)


class TestNames:
    """Which names a rule speaks of."""

    @pytest.mark.parametrize(
        ("name", "unit"),
        [
            ("epochs", "epochs"),
            ("lr_decay_steps", "steps"),
            ("lr_constant_steps", "steps"),
            ("warmup_tokens", "tokens"),
            ("training_tokens", "tokens"),
            ("diffusion_steps", None),
            ("batch_tokens", None),
            ("discriminator_steps", None),
            ("epochs_per_update", None),
            ("total_timesteps", None),
        ],
    )
    def test_lengths(self, name: str, unit: str | None) -> None:
        """A name is taken for a length of the training, or is not."""
        assert length_unit(name) == unit

    def test_rates(self) -> None:
        """A base rate, or that of another phase, is taken for the rate."""
        names = ["learning_rate", "min_learning_rate", "learning_rate_values"]

        assert all(map(is_rate, names))
        others = ["learning_rate_base", "finetune_learning_rate", "rate", "dropout"]
        assert not any(map(is_rate, others))


class TestRefusals:
    """What makes no sense, or cannot be known, is refused with what to do."""

    @pytest.mark.parametrize("value", [0, -1, True, 0.5, math.nan, math.inf, "64"])
    @pytest.mark.parametrize("name", ["batch_size", "epochs", "steps"])
    def test_nonsense(self, name: str, value: object) -> None:
        """A number that no training can have is taken."""
        said = refusal(recipe(**SGD, epochs=90, steps=10), **{name: value})

        assert f"{name} is {value!r}; give a " in said

    def test_half_a_step(self) -> None:
        """A batch of 64.5 examples is taken, or 1.5 epochs are not."""
        source = recipe(**SGD, epochs=90)

        assert "whole number" in refusal(source, batch_size=64.5)
        assert moved(source, epochs=1.5)["epochs"] == 1.5
        assert "from 1 to" in refusal(source, batch_size=10**400)

    def test_nothing_or_too_much(self) -> None:
        """Neither a batch size nor a length, or two lengths, are taken."""
        assert "give batch_size, epochs or steps" in refusal(recipe(**SGD))
        said = refusal(recipe(**SGD), epochs=3, steps=4)
        assert "epochs=3 and steps=4" in said
        assert "give one of them" in said

    def test_no_batch_size(self) -> None:
        """The missing batch size is not named, nor what is there instead."""
        said = refusal(recipe(learning_rate=0.1, batch_tokens=500), batch_size=64)

        assert "published batch_size" in said
        assert "it has batch_tokens" in said
        assert "Add batch_size" in said

    def test_unknown_lengths(self) -> None:
        """A length is made up where the recipe does not state one."""
        assert "neither epochs nor steps" in refusal(recipe(**SGD), epochs=3)
        said = refusal(recipe(**SGD, steps=100), epochs=3)
        assert "needs the number of training examples" in said
        assert "Give steps= instead of epochs=" in said
        assert "Give epochs= instead" in refusal(recipe(**SGD, epochs=9), steps=3)

    def test_training_examples_are_checked(self) -> None:
        """A recipe file may have half an example."""
        with pytest.raises(RecipeFormatError, match=r"training_examples\.value"):
            recipe(0, **SGD)


class TestSampler:
    """The search starts at the adapted point."""

    @pytest.mark.parametrize("as_recipe", [True, False])
    def test_trial_0(self, as_recipe: bool) -> None:
        """Trial 0 tries the published point, or another than the adapted one."""
        adapted = load_recipe("densenet121").adapt(batch_size=64)
        sampler = (
            PaperStartSampler(adapted, seed=0)
            if as_recipe
            else PaperStartSampler(published=adapted.published, seed=0)
        )
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda t: t.suggest_float("learning_rate", 1e-4, 1), n_trials=1)

        assert study.trials[0].params == {"learning_rate": 0.025}

    def test_the_recipe_is_known(self) -> None:
        """A callback cannot compare with the paper any more."""
        source = load_recipe("densenet121")
        adapted = source.adapt(batch_size=64)

        assert isinstance(adapted, Adapted)
        assert PaperStartSampler(adapted).recipe == source
