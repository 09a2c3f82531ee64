"""The web server's listening socket, its command and its health check."""

from __future__ import annotations

import http.client
import socket

from embedded.processes import ServerError

LOOPBACK = "127.0.0.1"
_BACKLOG = 512
_HEALTH_TIMEOUT_SECONDS = 2.0


def listen(port: int) -> socket.socket:
    """A listening socket for the web server to inherit; port 0 selects any free port.

    The socket is opened before anything starts, so that the port is known to be free. While the web server
    restarts, connections wait instead of being refused.
    """
    listener = socket.socket(socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Turns off Nagle's algorithm. Uvicorn would leave the algorithm on, because it treats the inherited
    # descriptor as a unix socket. Accepted connections inherit TCP_NODELAY.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise ServerError(
            f"Port {port} can't be used: {error.strerror}. Choose another port: PORT={port + 1} scripts/up"
        ) from error
    listener.listen(_BACKLOG)
    return listener


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


def program(listener: socket.socket) -> list[str]:
    """The arguments for Python; the process must inherit the listener's descriptor."""
    return [
        *("-m", "uvicorn", "config.asgi:application", f"--fd={listener.fileno()}", "--lifespan=off"),
        *("--log-config=config/logs/uvicorn.json", "--no-access-log", "--no-proxy-headers"),
        "--http=config.requests.heads:LimitedHeads",
        "--timeout-graceful-shutdown=2",
    ]


def healthy(port: int) -> bool:
    """Whether the web server responds and can reach its database and broker."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_HEALTH_TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
