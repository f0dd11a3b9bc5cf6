"""Does a tracking server answer?"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request

_PROBE_S = 3.0  # a server that takes longer to say that it is there is away


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
