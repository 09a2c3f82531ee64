from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from embedded import postgres as module
from embedded.folders import socket_folder
from embedded.postgres import Postgres
from embedded.processes import ServerError


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """The files of a server that has been started and stopped. Creating the files takes 2 s of processor
    time."""
    home = Path(tempfile.mkdtemp(prefix="rl-"))
    home.chmod(0o711)
    first = Postgres(home / "postgres", log=home / "postgres.log", durable=False)
    start(first)
    first.stop()
    yield home / "postgres"
    shutil.rmtree(home)


@pytest.fixture
def new_server(folder: Path) -> Iterator[Postgres]:
    server = Postgres(folder / "postgres", log=folder / "postgres.log", durable=False)
    yield server
    server.stop()


@pytest.fixture
def server(new_server: Postgres, cluster: Path) -> Postgres:
    subprocess.run(["cp", "-a", cluster, new_server.folder], check=True)
    return new_server


def start(server: Postgres) -> None:
    server.launch()
    server.wait_ready()


def ask(server: Postgres, query: str) -> object:
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def test_log_of_an_error_contains_neither_the_statement_nor_the_row(server: Postgres) -> None:
    start(server)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE prompts (prompt text PRIMARY KEY)")
        insert = "INSERT INTO prompts VALUES ('a secret prompt')"
        connection.execute(insert)
        with pytest.raises(psycopg.errors.UniqueViolation, match="secret"):  # the client sees the details
            connection.execute(insert)
    log = server.log.read_text()
    assert 'duplicate key value violates unique constraint "prompts_pkey"' in log
    assert "secret" not in log


def remember(server: Postgres) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")


def test_server_is_postgres_18_with_utf8_encoding_and_no_tcp_port(server: Postgres) -> None:
    start(server)
    assert str(ask(server, "SHOW server_version")).startswith("18.")
    assert ask(server, "SHOW server_encoding") == "UTF8"
    assert ask(server, "SHOW listen_addresses") == ""
    assert ask(server, "SHOW timezone") == "UTC"


def test_data_survives_a_restart(server: Postgres) -> None:
    start(server)
    remember(server)
    server.stop()
    start(server)
    assert ask(server, "SELECT value FROM kept") == 42


def test_killed_server_restarts_with_its_data(server: Postgres) -> None:
    server.durable = True
    start(server)
    remember(server)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    start(server)
    assert ask(server, "SELECT value FROM kept") == 42


def test_incomplete_cluster_is_created_again(server: Postgres) -> None:
    start(server)
    server.stop()
    server.data.rename(server.data.with_name("data.partial"))
    start(server)
    assert ask(server, "SELECT 1") == 1
    assert not server.data.with_name("data.partial").exists()


def test_data_and_socket_are_private(server: Postgres) -> None:
    start(server)
    for path in (server.data, socket_folder(server.folder)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_overlong_socket_path_is_replaced_by_a_private_path(folder: Path) -> None:
    long = folder / ("a-long-name-" * 10)
    long.mkdir()
    server = Postgres(long / "postgres", log=folder / "postgres.log", durable=False)
    sockets = socket_folder(server.folder)
    try:
        start(server)
        assert ask(server, "SELECT 1") == 1
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    finally:
        server.stop()
    assert not sockets.exists()


def test_socket_folder_that_others_can_enter_is_refused(server: Postgres) -> None:
    start(server)
    server.stop()
    socket_folder(server.folder).chmod(0o755)
    with pytest.raises(ServerError, match="not a private folder"):
        server.launch()


def test_error_of_a_failed_start_contains_the_log(server: Postgres) -> None:
    start(server)
    server.stop()
    (server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(ServerError, match="not compatible with this version"):
        start(server)


def test_root_starts_the_server_as_an_unprivileged_account(as_root: None, server: Postgres) -> None:
    start(server)
    assert Path(f"/proc/{server.process.pid}").stat().st_uid != 0


def test_cluster_owned_by_root_is_moved_if_others_cannot_enter_its_folder(
    as_root: None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = folder / "home"
    monkeypatch.setattr(module, "_ROOT_HOME", home)
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "postgres", log=folder / "postgres.log", durable=False)
    try:
        start(server)
        remember(server)
        assert server.data.is_relative_to(home)
        server.stop()
        start(server)
        assert ask(server, "SELECT value FROM kept") == 42
    finally:
        server.stop()
    # A new state folder does not contain the deleted folder's data.
    (closed / "postgres").unlink()
    try:
        start(server)
        assert ask(server, "SELECT count(*) FROM pg_tables WHERE tablename = 'kept'") == 0
    finally:
        server.stop()


def test_programs_that_others_cannot_run_are_copied_with_their_libraries(
    as_root: None, folder: Path, new_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = module.find_binaries().parent.parent
    closed = folder / "environment"
    closed.mkdir(mode=0o700)
    shutil.copytree(package / "pginstall18", closed / package.name / "pginstall18", symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs", symlinks=True)
    binaries = closed / package.name / "pginstall18" / "bin"
    monkeypatch.setattr(module, "find_binaries", lambda: binaries)
    start(new_server)
    assert ask(new_server, "SELECT 1") == 1
    program = Path(os.readlink(f"/proc/{new_server.process.pid}/exe"))
    assert program.is_relative_to(new_server.folder)


def test_cluster_of_another_account_is_refused(as_root: None, server: Postgres) -> None:
    start(server)
    server.stop()
    os.chown(server.folder, 12345, -1)
    with pytest.raises(ServerError, match="belongs to account 12345"):
        server.launch()


def test_write_ahead_log_reuses_its_segments(server: Postgres) -> None:
    start(server)
    assert ask(server, "SELECT setting FROM pg_settings WHERE name = 'wal_init_zero'") == "off"
    assert ask(server, "SELECT setting || unit FROM pg_settings WHERE name = 'min_wal_size'") == "1024MB"
