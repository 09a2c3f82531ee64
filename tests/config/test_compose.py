"""docker-compose.yml and the Dockerfile match the code that runs in the containers. The tests do not need
Docker."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import socket
from ipaddress import ip_network
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
from embedded import postgres, web

ROOT = Path(settings.BASE_DIR)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
OUTSIDE = {"postgres": "postgres:18", "valkey": "valkey/valkey:9"}
# The operator's .env, as docker-compose.yml describes it.
DOTENV = {
    "POSTGRES_PASSWORD": "5d0f6c1e8b7a49d2b3e4f5061728394a5b6c7d8e9f0a1b2c",
    "VALKEY_PASSWORD": "0b6b4d2f9a1c8e7350f4a6d8c2e1b3975d7f6a8c9e0b1d24",
    "SECRET_KEY": "q3Vt7WkPz0sYb8LmN2xRc5HdF9gJ1aQeU4iOoTnBvXyZwKhM6pSlDrEjCfGu0AtI",
    "ALLOWED_HOSTS": "rank.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://rank.example.org",
}


def filled(value: str) -> str:
    """Replaces the variables in the value with their values from .env."""

    def one(match: re.Match[str]) -> str:
        return DOTENV.get(match["name"], match["default"] or "")

    return re.sub(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*)|:\?[^}]*)?\}", one, value)


def variables_read() -> set[str]:
    """Every environment variable that is read by the settings (through config.env) or by the embedded
    package."""
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


def test_compose_has_the_expected_services_and_server_versions() -> None:
    assert {name: SERVICES[name]["image"] for name in OUTSIDE} == OUTSIDE
    assert set(SERVICES) == {*OUTSIDE, "migrate", "web", "worker", "imports", "training", "beat"}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_that_compose_sets_is_read(name: str) -> None:
    unread = set(OURS[name]["environment"]) - variables_read()
    assert unread == set()


@pytest.mark.parametrize("name", OURS)
def test_provider_settings_come_from_a_file_that_git_and_docker_ignore(name: str) -> None:
    """The names of a login provider's variables depend on the provider's name, so docker-compose.yml can't
    list them."""
    assert OURS[name]["env_file"] == [{"path": "oidc.env", "required": False}]
    for ignored in (".gitignore", ".dockerignore"):
        assert {".env", "oidc.env"} <= set((ROOT / ignored).read_text().splitlines())


def test_settings_accept_the_compose_variables() -> None:
    values = {name: filled(value) for name, value in OURS["web"]["environment"].items()}
    assert values["RANKLOOP_ENV"] == "production"
    reasons = unsafe(
        secret_key=values["SECRET_KEY"],
        allowed_hosts=values["ALLOWED_HOSTS"].split(","),
        csrf_trusted_origins=values["CSRF_TRUSTED_ORIGINS"].split(","),
        database_url=values["DATABASE_URL"],
        broker_url=values["BROKER_URL"],
        trusted_proxies=[ip_network(values["RANKLOOP_TRUSTED_PROXIES"])],
    )
    assert list(reasons) == []


def test_database_and_broker_addresses_name_compose_services() -> None:
    environment = OURS["web"]["environment"]
    for variable in ("DATABASE_URL", "BROKER_URL"):
        assert urlsplit(filled(environment[variable])).hostname in SERVICES


def test_secrets_have_no_default() -> None:
    for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "VALKEY_PASSWORD", "ALLOWED_HOSTS"):
        uses = re.findall(r"\$\{" + name + r"(:.)", (ROOT / "docker-compose.yml").read_text())
        assert uses
        assert set(uses) == {":?"}


@pytest.mark.parametrize("name", OURS)
def test_every_service_command_exists(name: str) -> None:
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
        assert command[4:6] == ["--skip-checks", "--quiet"]
        assert command[6] in ("worker", "beat")


def test_workers_serve_exactly_the_configured_queues() -> None:
    app.loader.import_default_modules()
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    assert set(settings.CELERY_TASK_ROUTES) <= set(app.tasks)
    served = {option(OURS[name]["command"], "--queues") for name in ("worker", "imports", "training")}
    assert served == routed | {settings.CELERY_TASK_DEFAULT_QUEUE}


def test_training_worker_has_the_gpu_and_executes_one_run_at_a_time() -> None:
    training = OURS["training"]
    (device,) = training["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert option(training["command"], "--concurrency") == "1"
    assert training["build"]["target"] == "training"


def test_health_check_uses_an_existing_address() -> None:
    (url,) = re.findall(r"http://[^']+", " ".join(OURS["web"]["healthcheck"]["test"]))
    assert resolve(urlsplit(url).path).url_name == "healthz"
    assert url.startswith("http://127.0.0.1:8000/")
    for name in ("postgres", "valkey", "web", "worker", "imports", "training"):
        assert SERVICES[name]["healthcheck"]["test"]


def test_valkey_requires_the_password_that_its_clients_send() -> None:
    command = [filled(part) for part in SERVICES["valkey"]["command"]]
    password = command[command.index("--requirepass") + 1]
    assert password == DOTENV["VALKEY_PASSWORD"]
    assert urlsplit(filled(OURS["web"]["environment"]["BROKER_URL"])).password == password
    assert filled(SERVICES["valkey"]["environment"]["REDISCLI_AUTH"]) == password  # for the health check


def test_persistent_data_is_in_volumes() -> None:
    for name, folder in (("postgres", "/var/lib/postgresql"), ("valkey", "/data"), ("web", "/state")):
        (mount,) = SERVICES[name]["volumes"]
        volume, _, target = mount.partition(":")
        assert volume in COMPOSE["volumes"]
        assert target == folder
    assert OURS["web"]["environment"]["RANKLOOP_STATE"] == "/state"


@pytest.mark.parametrize("name", SERVICES)
def test_size_of_every_log_is_limited(name: str) -> None:
    options = SERVICES[name]["logging"]["options"]
    assert int(options["max-size"].removesuffix("m")) * int(options["max-file"]) <= 100


def test_web_server_uses_the_log_configuration() -> None:
    command = OURS["web"]["command"]
    file = ROOT / command[command.index("--log-config") + 1]
    assert json.loads(file.read_text())["root"]["handlers"] == ["service"]
    with socket.socket() as listener:
        assert f"--log-config={file.relative_to(ROOT)}" in web.program(listener)


def test_database_has_the_settings_of_the_embedded_database() -> None:
    assert SERVICES["postgres"]["command"] == [
        "postgres",
        *postgres.NO_STATEMENTS_IN_LOG,
        *postgres.WRITE_AHEAD_LOG,
    ]


def test_database_does_not_log_rows() -> None:
    assert OURS["web"]["environment"]["DATABASE_URL"].endswith(f"?options={postgres.NO_ROWS_IN_LOG}")


def test_no_port_is_open_to_the_network() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert [port.split(":")[0] for port in published] == ["127.0.0.1"]


def test_packages_excluded_from_the_web_image_are_in_the_lock() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (names,) = re.findall(r"grep -vE '\^\(([^)]+)\)=='", dockerfile)
    locked = {line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines()}
    assert set(names.split("|")) <= locked
    for folder in re.findall(r"^COPY (?!--from)(\S+) ", dockerfile, re.MULTILINE):
        assert (ROOT / folder).exists(), folder
