"""Check whether the Hugging Face hub can be reached, and limit how long requests to it can take."""

import re
import socket
import urllib.parse
import urllib.request

import httpx2
from huggingface_hub import constants, get_session

TIMEOUT_S = 5.0
# The hub client's own default limit for downloads of files (HF_HUB_DOWNLOAD_TIMEOUT).
REQUEST_TIMEOUT_S = 10.0
# Phrases in the hub client's errors that indicate a failed connection.
UNREACHABLE = re.compile(
    r"couldn't connect|offline|local cache|cached files|outgoing|timed? ?out|name resolution|connection",
    re.IGNORECASE,
)


def answers() -> bool:
    """Return whether the hub accepts connections. The result is False if the hub client is in offline mode.

    The hub client itself retries for 46 s (measured) before it gives up. This check usually detects an
    unreachable hub within `TIMEOUT_S` seconds. Behind a proxy, the check is impossible, so it is skipped and
    the client retries.
    """
    if constants.HF_HUB_OFFLINE:
        return False
    if urllib.request.getproxies().get("https"):
        return True
    address = urllib.parse.urlsplit(constants.ENDPOINT)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=TIMEOUT_S):
            return True
    except OSError:
        return False


def limit_requests() -> None:
    """Set a time limit for every request that this process's hub client would otherwise send without one.

    The client lists a model's chat templates, for example, without a time limit. If the hub hung, loading the
    model would never end.
    """
    session = get_session()
    hooks = session.event_hooks
    if _limit not in hooks["request"]:
        session.event_hooks = hooks | {"request": [*hooks["request"], _limit]}


def _limit(request: httpx2.Request) -> None:
    given = request.extensions.get("timeout", {})
    limits = {name: given.get(name) for name in ("connect", "read", "write", "pool")}
    request.extensions["timeout"] = {
        name: REQUEST_TIMEOUT_S if limit is None else limit for name, limit in limits.items()
    }
