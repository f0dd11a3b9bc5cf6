"""The pictures: right values in right places, readable labels, fixed colors."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from paperstart import _bn_pictures
from paperstart._bn_columns import COLUMNS
from paperstart._bn_pictures import HEATMAPS, by_rank, draw_pictures, thinned
from paperstart._bn_record import Table


def table(layers: int = 53, steps: int = 30) -> Table:
    values = np.full((steps, layers, len(COLUMNS)), 0.1, np.float32)
    names = [f"network.layer{i // 12}.{i % 12}.bn{i % 3 + 1}" for i in range(layers)]
    return Table(values, list(range(50, 50 * steps + 50, 50)), names, [4] * layers)


def scales(made: Table) -> dict[str, Any]:
    return {name: np.linspace(0, 1, 7) for name in made.layers}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are drawn, beside their files."""
    kept: list[Any] = []
    save = _bn_pictures._save

    def keep(figure: Any, path: Path) -> Path:
        kept.append(figure)
        return save(figure, path)

    monkeypatch.setattr(_bn_pictures, "_save", keep)
    return kept


def test_four_pictures(tmp_path: Path) -> None:
    """Each is a PNG of its own, high enough for 53 lines of text."""
    made = table()
    paths = draw_pictures(made, scales(made), tmp_path)

    assert [path.name for path in paths] == [
        "train_eval_gap.png",
        "dead_channels.png",
        "log_running_var.png",
        "sorted_scales.png",
    ]
    for path in paths:
        height, width, _ = imread(path).shape
        assert width >= 1000
        assert height >= 53 * 14


def test_values_in_their_places(tmp_path: Path, figures: list[Any]) -> None:
    """Layers from top to bottom, steps from left to right."""
    made = table(5, 7)
    for heatmap in HEATMAPS:
        made.values[3, 2, list(COLUMNS).index(heatmap.column)] = 0.7
    draw_pictures(made, scales(made), tmp_path)

    for heatmap, figure in zip(HEATMAPS, figures, strict=False):
        image = np.asarray(figure.axes[0].images[0].get_array())
        assert image.shape == (5, 7)
        assert np.argwhere(image == image.max()).tolist() == [[2, 3]]
        norm = figure.axes[0].images[0].norm
        assert (norm.vmin, norm.vmax) == (heatmap.low, heatmap.high)
    variance = np.asarray(figures[2].axes[0].images[0].get_array())
    assert variance.max() == pytest.approx(np.log(0.7))
    ranks = np.asarray(figures[3].axes[0].images[0].get_array())
    assert ranks.shape == (5, 256)
    assert (np.diff(ranks, axis=1) <= 0).all()


@pytest.mark.parametrize("layers", [1, 2, 53, 110, 300])
def test_labels_do_not_overlap(tmp_path: Path, figures: list[Any], layers: int) -> None:
    """Every layer has its name beside it, up to 110; of more, every second or third."""
    made = table(layers)
    draw_pictures(made, scales(made), tmp_path)

    for figure in figures:
        texts = [t for t in figure.axes[0].get_yticklabels() if t.get_text()]
        shown = [text.get_text() for text in texts]
        assert shown == made.layers[:: -(-layers // 110)]
        boxes = [text.get_window_extent() for text in texts]
        for above, below in itertools.pairwise(boxes):
            assert above.y0 >= below.y1 - 2  # pixels
        assert all(box.x0 >= 0 for box in boxes)


def test_long_names(tmp_path: Path, figures: list[Any]) -> None:
    """Of a long name the end is shown, within the picture."""
    made = table(3)
    made.layers[1] = "backbone." * 12 + "bn2"
    draw_pictures(made, scales(made), tmp_path)

    label = figures[0].axes[0].get_yticklabels()[1]
    assert label.get_text().startswith("…")
    assert label.get_text().endswith("backbone.bn2")
    assert label.get_window_extent().x0 >= 0


def test_nan_is_drawn_as_unknown(tmp_path: Path) -> None:
    """Layers of which nothing is known do not stop a picture."""
    made = table(3)
    made.values[:] = np.nan
    dead = {name: np.full(4, np.nan) for name in made.layers}

    assert len(draw_pictures(made, dead, tmp_path)) == 4


def test_no_spike_is_lost() -> None:
    """A long run is thinned to its largest values."""
    values = np.zeros((1001, 3))
    values[500, 1] = 9
    values[:, 2] = np.nan

    rows, every = thinned(values, 800)

    assert every == 2
    assert rows.shape == (501, 3)
    assert rows[250].tolist()[:2] == [0, 9]
    assert np.isnan(rows[:, 2]).all()


def test_ranks() -> None:
    """Sorted, largest first, at even shares of the channels, however many these are."""
    assert by_rank(np.array([0.1, 0.3, 0.2]))[[0, 100, 255]].tolist() == [0.3, 0.2, 0.1]
    assert by_rank(np.array([0.5])).tolist() == [0.5] * 256


def test_matplotlib_is_loaded_for_pictures_alone() -> None:
    """Nothing loads matplotlib before it draws, and that loads no pyplot."""
    code = (
        "import sys, paperstart._bn_pictures, paperstart.batchnorm; "
        "print('matplotlib' in sys.modules); "
        "from pathlib import Path; import numpy as np; "
        "from paperstart._bn_pictures import draw_pictures; "
        "from paperstart._bn_record import Table; "
        "from paperstart._bn_columns import COLUMNS; "
        "values = np.ones((2, 1, len(COLUMNS)), np.float32); "
        "draw_pictures(Table(values, [1, 2], ['a'], [1]), {}, Path('.')); "
        "print('matplotlib' in sys.modules, 'matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["False", "True", "False"]
