"""What a first search varies: by name, by the file, and as the pages say it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from test_recipe import alternative, data, recipe, refusal, value

from paperstart import list_recipes, load_recipe
from paperstart._scales import CANONICAL
from paperstart._searched import varies_first
from paperstart.cli import main
from paperstart.recipe import Recipe

OPTIMIZER = ("learning_rate", "momentum", "beta1", "beta2", "epsilon", "ema_decay")
DECAY = ("lr_schedule", "lr_decay_factor", "lr_decay_epochs", "warmup_epochs")
REGULARIZERS = ("weight_decay", "dropout", "drop_path", "label_smoothing")
REGULARIZERS += ("mixup_alpha", "cutmix_alpha", "grad_clip_norm")
LEFT_ALONE = ("vocabulary_size", "image_size", "resize_shorter_side_min", "channels")
LEFT_ALONE += ("sequence_length", "crop_area_min", "horizontal_flip", "seed", "epochs")
LEFT_ALONE += ("steps", "batch_tokens", "training_tokens", "batch_size_per_device")
LEFT_ALONE += ("attention_heads", "mlp_units", "frame_skip", "min_learning_rate")
LEFT_ALONE += ("bn_momentum", "bn_epsilon", "optimizer", "learning_rate_base")


def searched(**hyperparameters: object) -> set[str]:
    """What a recipe with these hyperparameters searches."""
    return set(recipe(**hyperparameters).search_space())


class TestNames:
    """What a name decides."""

    @pytest.mark.parametrize("name", [*OPTIMIZER, *DECAY, *REGULARIZERS, "batch_size"])
    def test_what_an_expert_varies(self, name: str) -> None:
        """A first search leaves alone what matters first."""
        assert varies_first(name, [name])

    @pytest.mark.parametrize("name", LEFT_ALONE)
    def test_what_an_expert_leaves_alone(self, name: str) -> None:
        """A first search varies the data, the cost, or the network's form."""
        assert not varies_first(name, [name])

    def test_every_canonical_name_is_decided_on(self) -> None:
        """A new canonical name was put into neither list."""
        decided = {*OPTIMIZER, *DECAY, *REGULARIZERS, *LEFT_ALONE}
        decided |= {"nesterov", "batch_size", "warmup_steps", "lr_decay_steps"}

        assert set(CANONICAL) - decided == {"hidden_layers", "hidden_units"}

    def test_a_plain_stack_has_free_sizes(self) -> None:
        """Layers and units are left alone where any number of them can be built."""
        sizes = {"hidden_layers": value(2), "hidden_units": value(64)}

        assert searched(**sizes, learning_rate=value(0.1)) == {*sizes, "learning_rate"}

    @pytest.mark.parametrize(
        "part", ["attention_heads", "image_size", "channels", "mlp_units"]
    )
    def test_a_named_network_has_its_form(self, part: str) -> None:
        """Sizes are drawn that do not fit each other."""
        sizes = {"hidden_layers": value(12), "hidden_units": value(768)}

        assert searched(**sizes, **{part: value(12, scale="log")}) == set()

    def test_the_length_of_a_schedule(self) -> None:
        """A cosine is longer than its training, or a step has no period."""
        steps = value(1000)

        assert searched(lr_decay_steps=steps) == set()
        assert "lr_decay_steps" in searched(
            lr_decay_steps=steps, lr_decay_factor=value(0.1)
        )

    def test_another_optimizer_is_not_tried(self) -> None:
        """Another optimizer is tried on ranges that were made for the published one."""
        known = {"optimizer": value("sgd", alternatives=[alternative("adam")])}

        assert searched(**known) == set()
        assert set(recipe(**known).search_space(only=["optimizer"])) == {"optimizer"}


class TestFiles:
    """What a file decides."""

    @pytest.mark.parametrize(
        "given",
        [
            {"image_size": value(224, low=112)},
            {"image_size": value(224, high=448)},
            {"epochs": value(90, searched=True)},
            {"optimizer": value("sgd", choices=["sgd", "adam"])},
            {"own": value(3, scale="linear", low=1, high=5)},
            {"own": value(3, scale="linear", searched=True)},
        ],
        ids=str,
    )
    def test_what_it_names_is_searched(self, given: dict[str, Any]) -> None:
        """A recipe names a range, and a search leaves it alone."""
        assert searched(**given) == set(given)

    def test_what_it_leaves_alone(self) -> None:
        """A recipe says that a search leaves it alone, and it is searched."""
        given = {
            "learning_rate": value(0.1, searched=False),
            "momentum": value(0.9, low=0.5, high=0.99, searched=False),
        }

        assert searched(**given) == set()
        assert set(recipe(**given).search_space(only=list(given))) == set(given)

    @pytest.mark.parametrize(
        ("broken", "words"),
        [
            (
                value("he", searched=True),
                "there is neither a range nor a list of choic",
            ),
            (value([30, 60], searched=True), "write choices, or leave searched out"),
            (value(3, scale="fixed", searched=True), "own.searched: found true, and"),
            (value(3, scale="log", searched="no"), "found 'no'; write true or false"),
            (value(3, scale="log", searched=1), "found 1; write true or false"),
        ],
    )
    def test_what_it_cannot_say(self, broken: dict[str, object], words: str) -> None:
        """A mistake is taken, or is not explained."""
        assert words in refusal(data(own=broken))

    def test_its_json_says_the_same(self) -> None:
        """By way of JSON, more or less is searched than the file says."""
        made = recipe(
            learning_rate=value(0.1),
            epochs=value(90),
            optimizer=value("sgd", alternatives=[alternative("adam")]),
            momentum=value(0.9, low=0.5, searched=False),
        )
        again = Recipe.from_data(json.loads(json.dumps(made.as_data())))

        assert again == made
        assert set(again.search_space()) == {"learning_rate"}


class TestCatalog:
    """The recipes, as they are searched and shown."""

    @pytest.mark.parametrize("name", list_recipes())
    def test_a_value_says_whether_it_is_searched(self, name: str) -> None:
        """A hyperparameter says other than the search space, or there is none."""
        found = load_recipe(name)
        space = found.search_space()

        known = {n for n, hp in found.hyperparameters.items() if hp.searched}
        assert {n for n in space if n in found.published} == known
        assert space.keys() - known <= set(found.undisclosed)
        assert space

    @pytest.mark.parametrize(
        ("name", "names"),
        [
            ("resnet50", "learning_rate batch_size momentum weight_decay"),
            ("gpt3-175b", "learning_rate beta1 beta2 weight_decay grad_clip_norm"),
            ("ppo-atari", "learning_rate discount gae_lambda clip_range"),
            ("ddpm-cifar10", "learning_rate batch_size ema_decay warmup_steps"),
            ("faster-rcnn-r50-fpn", "learning_rate batch_size momentum weight_decay"),
            ("autopytorch-lcbench", "learning_rate hidden_layers hidden_units"),
        ],
    )
    def test_what_a_first_search_varies(self, name: str, names: str) -> None:
        """The search of a well-known recipe is another one than an expert's."""
        found = load_recipe(name)
        space = set(found.search_space())

        assert set(names.split()) <= space
        assert space.isdisjoint(set(LEFT_ALONE) - set(found.undisclosed))
        assert len(space) <= 12  # of 20 to 30 published values

    def test_the_page(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The page has a range for what is left alone, or does not say so."""
        found = load_recipe("gpt3-175b")
        assert set(found.undisclosed) & set(found.search_space())
        monkeypatch.setattr(sys, "argv", ["paperstart", "recipe", "gpt3-175b"])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit):
            main()
        lines = capsys.readouterr().out.splitlines()

        for name, hp in found.hyperparameters.items():
            (row,) = [line for line in lines if line.split()[:1] == [name]]
            has_range = hp.low is not None or hp.choices is not None
            left = has_range and not hp.searched
            assert ("not searched unless asked" in row) == left, name
            assert (" to " in row) == (hp.searched and hp.low is not None), name
        (row,) = [line for line in lines if line.startswith("of these")]
        for name in found.undisclosed:
            assert (f" {name} " in row) == (name in found.search_space()), name
