"""Check whether the Hugging Face hub can be reached."""

import re
import socket
import urllib.parse
import urllib.request

from huggingface_hub import constants

TIMEOUT_S = 5.0
# Phrases in the hub client's errors that indicate a failed connection.
UNREACHABLE = re.compile(
    r"couldn't connect|offline|local cache|cached files|outgoing|timed? ?out|name resolution|connection",
    re.IGNORECASE,
)


def answers() -> bool:
    """Return whether the hub accepts connections.

    The hub client itself retries for 46 s (measured) before it gives up. This check usually detects an
    unreachable hub within `TIMEOUT_S` seconds. Behind a proxy the check is impossible, so it is skipped and
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
