"""docker-compose.yml and the Dockerfile, held against the code they run. No engine is needed (nor here)."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.urls import resolve

from config.celery import app
from config.safety import unsafe

ROOT = Path(settings.BASE_DIR)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
OUTSIDE = {"postgres": "postgres:18", "valkey": "valkey/valkey:9"}
# What the operator writes into .env, as the file itself says.
DOTENV = {
    "POSTGRES_PASSWORD": "5d0f6c1e8b7a49d2b3e4f5061728394a5b6c7d8e9f0a1b2c",
    "SECRET_KEY": "q3Vt7WkPz0sYb8LmN2xRc5HdF9gJ1aQeU4iOoTnBvXyZwKhM6pSlDrEjCfGu0AtI",
    "ALLOWED_HOSTS": "rank.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://rank.example.org",
}


def filled(value: str) -> str:
    """The value after compose has put the .env's variables in."""

    def one(match: re.Match[str]) -> str:
        return DOTENV.get(match["name"], match["default"] or "")

    return re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}", one, value)


def variables_read() -> set[str]:
    """Every environment variable that settings (through config.env) or the embedded package reads."""
    found = set()
    for path in [ROOT / "config" / "settings.py", *(ROOT / "embedded").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if name.startswith("env_") or name in {"get", "_from_environment", "_named_outside"}:
                    found.add(str(node.args[0].value))
    return found


def option(command: list[str], name: str) -> str:
    return next(part.split("=", 1)[1] for part in command if part.startswith(f"{name}="))


def test_the_servers_are_the_versions_the_embedded_ones_are() -> None:
    assert {name: SERVICES[name]["image"] for name in OUTSIDE} == OUTSIDE
    assert set(SERVICES) == {*OUTSIDE, "migrate", "web", "worker", "training", "beat"}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_it_sets_is_read(name: str) -> None:
    unread = set(OURS[name]["environment"]) - variables_read()
    assert unread == set()


@pytest.mark.parametrize("name", OURS)
def test_providers_reach_it_from_a_file_that_no_image_and_no_commit_holds(name: str) -> None:
    """Their variables' names hang on the provider's, so the compose file can't name them one by one."""
    assert OURS[name]["env_file"] == [{"path": "oidc.env", "required": False}]
    for ignored in (".gitignore", ".dockerignore"):
        assert {".env", "oidc.env"} <= set((ROOT / ignored).read_text().splitlines())


def test_the_settings_accept_what_it_sets() -> None:
    values = {name: filled(value) for name, value in OURS["web"]["environment"].items()}
    assert values["RANKLOOP_ENV"] == "production"
    reasons = unsafe(
        secret_key=values["SECRET_KEY"],
        allowed_hosts=values["ALLOWED_HOSTS"].split(","),
        csrf_trusted_origins=values["CSRF_TRUSTED_ORIGINS"].split(","),
        database_url=values["DATABASE_URL"],
        broker_url=values["BROKER_URL"],
    )
    assert list(reasons) == []


def test_addresses_name_services_of_the_file() -> None:
    environment = OURS["web"]["environment"]
    for variable in ("DATABASE_URL", "BROKER_URL"):
        assert urlsplit(filled(environment[variable])).hostname in SERVICES


def test_secrets_have_no_default() -> None:
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "ALLOWED_HOSTS"):
        uses = re.findall(r"\$\{" + name + r"(:.)", (ROOT / "docker-compose.yml").read_text())
        assert uses
        assert set(uses) == {":?"}


@pytest.mark.parametrize("name", OURS)
def test_every_command_it_runs_exists(name: str) -> None:
    command = OURS[name]["command"]
    assert command[0] == "python"
    if command[1] == "manage.py":
        assert (ROOT / "manage.py").exists()
        assert command[2] in get_commands()
        return
    assert command[1] == "-m"
    assert importlib.util.find_spec(command[2]) is not None
    if command[2] == "uvicorn":
        module, _, attribute = command[3].partition(":")
        assert callable(getattr(importlib.import_module(module), attribute))
    else:
        assert option(command, "--app") == "config"
        assert command[4:6] in (["--skip-checks", "worker"], ["--skip-checks", "beat"])


def test_each_queue_has_a_worker_and_each_worker_a_queue() -> None:
    app.loader.import_default_modules()
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    assert set(settings.CELERY_TASK_ROUTES) <= set(app.tasks)
    served = {option(OURS[name]["command"], "--queues") for name in ("worker", "training")}
    assert served == routed | {settings.CELERY_TASK_DEFAULT_QUEUE}


def test_the_training_worker_has_the_gpu_and_one_run_at_a_time() -> None:
    training = OURS["training"]
    (device,) = training["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert option(training["command"], "--concurrency") == "1"
    assert training["build"]["target"] == "training"


def test_the_health_check_asks_an_address_that_is_there() -> None:
    (url,) = re.findall(r"http://[^']+", " ".join(OURS["web"]["healthcheck"]["test"]))
    assert resolve(urlsplit(url).path).url_name == "healthz"
    assert url.startswith("http://127.0.0.1:8000/")
    for name in ("postgres", "valkey", "web", "worker", "training"):
        assert SERVICES[name]["healthcheck"]["test"]


def test_what_is_kept_is_in_volumes() -> None:
    for name, folder in (("postgres", "/var/lib/postgresql"), ("valkey", "/data"), ("web", "/state")):
        (mount,) = SERVICES[name]["volumes"]
        volume, _, target = mount.partition(":")
        assert volume in COMPOSE["volumes"]
        assert target == folder
    assert OURS["web"]["environment"]["RANKLOOP_STATE"] == "/state"


def test_nothing_is_open_to_the_network() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert [port.split(":")[0] for port in published] == ["127.0.0.1"]


def test_the_image_leaves_out_only_what_the_web_process_never_imports() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (names,) = re.findall(r"grep -vE '\^\(([^)]+)\)=='", dockerfile)
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert set(names.split("|")) <= locked
    for folder in re.findall(r"^COPY (?!--from)(\S+) ", dockerfile, re.MULTILINE):
        assert (ROOT / folder).exists(), folder
