"""How do a run's alarms stand in its tags, and in its description?"""

from __future__ import annotations

ALARMS_TAG = "paperstart.alarms"
"""Run tag: the alarms of a run, one a line."""
_HEADING = "### Batch-norm alarms"


def alarms_section(text: str) -> str:
    """A section for a run's description; empty without alarms.

    Args:
        text: the alarms, one a line, as in the tag.
    """
    lines = [f"- {words}" for words in text.splitlines()]
    return "\n".join([_HEADING, "", *lines, ""]) if lines else ""


def with_alarms(description: str, text: str) -> str:
    """A run's description that ends with its alarms, in place of earlier ones."""
    kept = description.partition(_HEADING)[0].rstrip()
    return "\n\n".join(part for part in (kept, alarms_section(text)) if part)
