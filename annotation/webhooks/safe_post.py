"""Posts to an external URL without giving the URL's owner access to the internal network.

The host name is resolved here, and every address is checked. The connection goes to a checked address, even
if the name resolves to a different address a moment later. Redirects are not followed, and the duration and
the response size are limited.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from django.conf import settings

CONNECT_SECONDS = 5.0
# Time limit for the whole request, including connecting. A receiver should only store the event and respond.
TOTAL_SECONDS = 10.0
# The response is read and then discarded. If it were not read, the connection would be cut off. If it were
# shown, the webhook's owner could read responses from addresses that only this machine can reach.
MAX_ANSWER_BYTES = 16 * 1024

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Each address in this IPv6 range embeds an IPv4 address. A NAT64 gateway would forward the request there.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RefusedAddress(Exception):
    """Raised for an address to which webhooks must not be sent."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a post. If `status` is None, there was no response, and `error` gives the reason."""

    status: int | None
    error: str
    latency_ms: int

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def post(url: str, *, body: bytes, headers: Mapping[str, str]) -> Outcome:
    """Posts the body. Network and receiver failures are returned, never raised."""
    began = time.monotonic()
    status, error = None, ""
    try:
        status = _status_of(url, body, headers)
        if 300 <= status < 400:
            error = "The endpoint redirects, and redirects are not followed. Use the final address."
        elif not 200 <= status < 300:
            error = f"The endpoint responded with {status}."
    except RefusedAddress as refusal:
        error = str(refusal)
    except (OSError, http.client.HTTPException, ValueError) as failure:
        late = isinstance(failure, TimeoutError) or time.monotonic() - began >= TOTAL_SECONDS
        error = (
            f"No response within {TOTAL_SECONDS:.0f} s." if late else f"{type(failure).__name__}: {failure}"
        )
    return Outcome(status, error[:500], round((time.monotonic() - began) * 1000))


def refuse_address(address: Address) -> None:
    """Raises RefusedAddress for an address outside the public internet, unless a setting allows it."""
    inner = _inner(address)
    if any(inner in network for network in settings.WEBHOOK_NETWORKS if network.version == inner.version):
        return
    if not inner.is_global or inner.is_multicast or inner.is_reserved or inner.is_unspecified:
        raise RefusedAddress(
            f"{address} is not a public address. Set RANKLOOP_WEBHOOK_NETWORKS to allow your own networks."
        )


def _inner(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _status_of(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    if not secure and (parts.scheme != "http" or settings.WEBHOOK_HTTPS_ONLY):
        raise RefusedAddress(f"{parts.scheme}:// is not allowed here; use https://.")
    host = parts.hostname or ""
    ends = time.monotonic() + TOTAL_SECONDS
    line = _connected(host, parts.port or (443 if secure else 80), ends)
    if secure:
        # wrap_socket takes ownership of the socket; the handshake follows later, within the timeout.
        line = _tls().wrap_socket(line, server_hostname=host, do_handshake_on_connect=False)
    # Shutting down the socket from another thread ends any wait here. A timeout per read would let a response
    # that arrives byte by byte continue indefinitely.
    guard = threading.Timer(max(0.0, ends - time.monotonic()), _cut, [line])
    guard.daemon = True
    guard.start()
    try:
        if isinstance(line, ssl.SSLSocket):
            line.do_handshake()
        connection = http.client.HTTPConnection(host, parts.port)
        connection.sock = line
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection.request("POST", target, body=body, headers={**headers, "Host": parts.netloc})
        response = connection.getresponse()
        response.read(MAX_ANSWER_BYTES)
        return response.status
    finally:
        guard.cancel()
        line.close()


@cache
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    # Python 3.13's TLS defaults are set here, so that all Python versions verify certificates by the same
    # rules.
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _connected(host: str, port: int, ends: float) -> socket.socket:
    """Connects to the first of the host's addresses that accepts the connection."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:  # all addresses are checked before any is used
        refuse_address(ipaddress.ip_address(str(address[0]).split("%")[0]))
    last: OSError | None = None
    for family, kind, protocol, _, address in found:
        left = ends - time.monotonic()
        if left <= 0:
            raise TimeoutError
        line = socket.socket(family, kind, protocol)
        line.settimeout(min(CONNECT_SECONDS, left))
        try:
            line.connect(address)
        except OSError as error:
            line.close()
            last = error
        else:
            line.settimeout(TOTAL_SECONDS)
            return line
    raise last or OSError(f"{host} has no address")


def _cut(line: socket.socket) -> None:
    with suppress(OSError):  # the connection may already be closed
        line.shutdown(socket.SHUT_RDWR)
