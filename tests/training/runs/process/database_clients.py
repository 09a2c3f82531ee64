"""A Unix socket that forwards connections to Postgres and records which processes connect."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from pathlib import Path

PEER = struct.Struct("3i")  # the kernel's struct ucred: process ID, user ID, group ID


class DatabaseClients:
    """Listens in `folder` and forwards each connection to the Postgres socket `target`. `names` are the names
    of the processes that have connected. The threads end with their connections."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.names: set[str] = set()
        self._target = target
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / target.name))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            pid, _, _ = PEER.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
            self.names.add(Path(f"/proc/{pid}/comm").read_text().strip())
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_forward, args=(one, other), daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
