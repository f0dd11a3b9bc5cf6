"""How is a trial drawn in a chart, by how it went?

The colors can be read on a light and on a dark page.
"""

from __future__ import annotations

BLUE, ORANGE, GREEN, RED, GREY = "#4c8bf5", "#e8890c", "#12a37f", "#e5484d", "#8b95a5"
# How a trial is drawn: color, symbol, size, and the word in the legend.
MARKS = {
    "complete": (GREY, "circle", 6, "complete"),
    "pruned": (GREY, "circle-open", 6, "pruned"),
    "failed": (RED, "x-thin-open", 7, "failed"),
    "good": (BLUE, "circle", 7, "best quarter"),
    "best": (GREEN, "star", 13, "the best"),
}
