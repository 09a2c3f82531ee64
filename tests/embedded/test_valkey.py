from __future__ import annotations

import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from embedded.folders import socket_folder
from embedded.valkey import Valkey

# The append-only file is synced every second.
_SYNC_SECONDS = 1.2


@pytest.fixture
def server(folder: Path) -> Iterator[Valkey]:
    server = Valkey(folder / "valkey", log=folder / "valkey.log")
    yield server
    server.stop()


def client(server: Valkey) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket_folder(server.folder) / "valkey.sock"))


def start(server: Valkey) -> None:
    server.launch()
    server.wait_ready()


def test_killed_server_keeps_its_messages(server: Valkey) -> None:
    start(server)
    client(server).rpush("queue", *(str(n) for n in range(200)))
    time.sleep(_SYNC_SECONDS)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    start(server)
    assert client(server).llen("queue") == 200


def test_server_listens_only_on_a_private_socket(server: Valkey) -> None:
    start(server)
    assert client(server).config_get("port") == {"port": "0"}
    assert stat.S_IMODE(socket_folder(server.folder).stat().st_mode) == 0o700


def test_server_never_evicts_messages(server: Valkey) -> None:
    start(server)
    assert client(server).config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
