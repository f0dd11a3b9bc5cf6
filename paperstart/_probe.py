"""Does a tracking server answer, and how long is it waited for?"""

from __future__ import annotations

import logging
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable

_logger = logging.getLogger(__name__)

FIRST_S = 30.0
"""So long is waited for a server that has never answered: its name may be wrong."""
AGAIN_S = 1200.0
"""And so long for one that has, and is being restarted."""
_PROBE_S = 3.0  # a server that takes longer to say that it is there is away
_RETRY_S = 2.0
_answered: set[tuple[int, str]] = set()


def probe(uri: str) -> str | None:
    """What is wrong with a server that does not answer; ``None`` if it does.

    Any answer will do, also that there is no such page; only a server's own error, or
    silence, counts as away. Other stores than servers are not asked.
    """
    if not uri.startswith(("http://", "https://")):
        return None
    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_PROBE_S):
            return None
    except urllib.error.HTTPError as error:
        return f"it answered {error.code}" if error.code >= 500 else None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return None if isinstance(reason, ssl.SSLError) else str(reason)


def wait_until_it_answers(
    uri: str,
    gives_up: Callable[[], bool] = lambda: False,
    at_most_s: float | None = None,
) -> str | None:
    """Wait for a server that is away; what is wrong with it if it stays away.

    Args:
        uri: the store; none but a server is waited for.
        gives_up: asked between two attempts.
        at_most_s: seconds; if not given, `FIRST_S` or `AGAIN_S`.
    """
    key = (os.getpid(), uri)
    usual = AGAIN_S if key in _answered else FIRST_S
    most = usual if at_most_s is None else at_most_s
    began = time.monotonic()
    is_first = True
    while (said := probe(uri)) is not None:
        if gives_up() or time.monotonic() - began > most:
            return said
        if is_first:
            _logger.warning("MLflow at %s does not answer (%s); waiting.", uri, said)
            is_first = False
        time.sleep(_RETRY_S)
    _answered.add(key)
    return None
