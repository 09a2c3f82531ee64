"""With RANKLOOP_ENV=production, the server starts only if all settings are safe; the error names each unsafe
setting."""

from __future__ import annotations

import os
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.conf import settings

from config.safety import Network, unsafe

STRONG = "Vd8sK2pQ7mZx4LcR9wTfB1nGhY6jUaE3oXiP5qWe0rStNvMk"
SAFE = {
    "RANKLOOP_ENV": "production",
    "SECRET_KEY": "q3Vt7WkPz0sYb8LmN2xRc5HdF9gJ1aQeU4iOoTnBvXyZwKhM6pSlDrEjCfGu0AtI",
    "ALLOWED_HOSTS": "rank.example.org",
    "CSRF_TRUSTED_ORIGINS": "https://rank.example.org",
    "DATABASE_URL": "postgresql://rankloop:fJ29xkW0@postgres:5432/rankloop?sslmode=require",
    "BROKER_URL": "redis://:Zq81mmLp@valkey:6379/0",
}


def check(state: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs `manage.py check` with only these environment variables, PATH and a state folder."""
    own = {"PATH": os.environ["PATH"], "RANKLOOP_STATE": str(state)}
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=settings.BASE_DIR,
        env=own | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_production_starts_if_all_settings_are_safe(tmp_path: Path) -> None:
    started = check(tmp_path, **SAFE)
    assert started.returncode == 0, started.stderr
    assert not (tmp_path / "secret-key").exists()


def test_missing_settings_are_all_reported_and_none_is_generated(tmp_path: Path) -> None:
    refused = check(tmp_path, RANKLOOP_ENV="production")
    assert refused.returncode != 0
    for name in ("SECRET_KEY", "ALLOWED_HOSTS", "DATABASE_URL", "BROKER_URL"):
        assert f"- {name} is missing" in refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("SECRET_KEY", "", "SECRET_KEY is missing"),
        ("SECRET_KEY", "short", "SECRET_KEY can be guessed"),
        ("SECRET_KEY", "abcabcabc" * 10, "SECRET_KEY can be guessed"),
        ("SECRET_KEY", "django-insecure-q3Vt7WkPz0sYb8LmN2xRc5HdF9gJ1aQeU4iOo", "SECRET_KEY is an example"),
        ("SECRET_KEY", "please-CHANGE-me-q3Vt7WkPz0sYb8LmN2xRc5HdF9gJ1aQeU4iOo", "SECRET_KEY is an example"),
        ("ALLOWED_HOSTS", "", "ALLOWED_HOSTS is missing"),
        ("ALLOWED_HOSTS", "*", "ALLOWED_HOSTS contains '*'"),
        ("ALLOWED_HOSTS", "rank.example.org,*", "ALLOWED_HOSTS contains '*'"),
        ("ALLOWED_HOSTS", "*.example.org", "ALLOWED_HOSTS contains '*.example.org'"),
        ("CSRF_TRUSTED_ORIGINS", "https://*", "CSRF_TRUSTED_ORIGINS contains 'https://*'"),
        ("CSRF_TRUSTED_ORIGINS", "rank.example.org", "CSRF_TRUSTED_ORIGINS contains 'rank.example.org'"),
        ("CSRF_TRUSTED_ORIGINS", "http://rank.example.org", "plain http"),
        ("DATABASE_URL", "", "DATABASE_URL is missing"),
        ("BROKER_URL", "", "BROKER_URL is missing"),
        ("ALLOWED_HOSTS", ".com", "ALLOWED_HOSTS contains '.com'"),
        ("ALLOWED_HOSTS", "rank.example.org,.co.uk", "ALLOWED_HOSTS contains '.co.uk'"),
        ("ALLOWED_HOSTS", ".internal", "ALLOWED_HOSTS contains '.internal'"),
        ("ALLOWED_HOSTS", "..com", "ALLOWED_HOSTS contains '..com'"),
        ("SECRET_KEY_FALLBACKS", "x", "SECRET_KEY_FALLBACKS: key 1 can be guessed"),
        ("SECRET_KEY_FALLBACKS", f"{STRONG},django-insecure-{STRONG}", "SECRET_KEY_FALLBACKS: key 2 is an"),
        ("DATABASE_URL", "postgresql://rankloop@postgres/rankloop", "DATABASE_URL has no password"),
        ("DATABASE_URL", "postgresql://rankloop:@postgres/rankloop", "DATABASE_URL has no password"),
        ("DATABASE_URL", "postgresql://127.0.0.1/rankloop", "DATABASE_URL has no password"),
        ("DATABASE_URL", "postgresql:///rankloop?host=db.example.org", "DATABASE_URL has no password"),
        ("DATABASE_URL", "postgresql://app:app@postgres/rankloop", "DATABASE_URL has a password that can"),
        ("DATABASE_URL", "postgresql://app:postgres@postgres/rankloop", "DATABASE_URL has a password that"),
        ("BROKER_URL", "redis://valkey:6379/0", "BROKER_URL has no password"),
        ("BROKER_URL", "rediss://user@valkey:6379/0", "BROKER_URL has no password"),
        ("BROKER_URL", "redis://:redis@valkey:6379/0", "BROKER_URL has a password that can be guessed"),
        ("RANKLOOP_TRUSTED_PROXIES", "0.0.0.0/0", "RANKLOOP_TRUSTED_PROXIES contains 0.0.0.0/0"),
        ("RANKLOOP_TRUSTED_PROXIES", "10.0.0.1,::/0", "RANKLOOP_TRUSTED_PROXIES contains ::/0"),
        ("RANKLOOP_WEBHOOK_NETWORKS", "0.0.0.0/0", "RANKLOOP_WEBHOOK_NETWORKS contains 0.0.0.0/0"),
        (
            "RANKLOOP_WEBHOOK_NETWORKS",
            "169.254.169.254/32",
            "RANKLOOP_WEBHOOK_NETWORKS contains 169.254.169.254",
        ),
    ],
)
def test_each_unsafe_setting_is_refused(variable: str, value: str, reason: str) -> None:
    (found,) = reasons(**{variable: value})
    assert reason in found


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALLOWED_HOSTS", ".example.org,rank.example.co.uk,rank"),
        ("SECRET_KEY_FALLBACKS", STRONG),
        ("DATABASE_URL", "postgresql://rankloop@/rankloop?host=/run/postgresql"),
        ("DATABASE_URL", "postgresql://%2Frun%2Fpostgresql/rankloop"),
        ("DATABASE_URL", "postgresql:///rankloop"),
        ("DATABASE_URL", "postgresql://rankloop@db/rankloop?sslcert=/run/client.pem"),
        ("BROKER_URL", "redis+socket:///run/valkey.sock"),
        ("BROKER_URL", "redis://localhost:6379/0"),
        ("BROKER_URL", "redis://[::1]:6379/0"),
        ("RANKLOOP_TRUSTED_PROXIES", "10.0.0.0/24,fd00::5"),
        ("RANKLOOP_WEBHOOK_NETWORKS", "10.1.0.0/16"),
    ],
)
def test_other_safe_values_are_accepted(variable: str, value: str) -> None:
    assert reasons(**{variable: value}) == []


def reasons(**changes: str) -> list[str]:
    values = SAFE | changes

    def items(variable: str) -> list[str]:
        return [item for item in values.get(variable, "").split(",") if item]

    def networks(variable: str) -> list[Network]:
        return [ip_network(item) for item in items(variable)]

    return list(
        unsafe(
            secret_key=values["SECRET_KEY"],
            allowed_hosts=items("ALLOWED_HOSTS"),
            csrf_trusted_origins=items("CSRF_TRUSTED_ORIGINS"),
            database_url=values["DATABASE_URL"],
            broker_url=values["BROKER_URL"],
            secret_key_fallbacks=items("SECRET_KEY_FALLBACKS"),
            trusted_proxies=networks("RANKLOOP_TRUSTED_PROXIES"),
            webhook_networks=networks("RANKLOOP_WEBHOOK_NETWORKS"),
        )
    )


def test_error_names_all_unsafe_environment_variables(tmp_path: Path) -> None:
    weak = {"SECRET_KEY_FALLBACKS": "x", "RANKLOOP_TRUSTED_PROXIES": "0.0.0.0/0", "ALLOWED_HOSTS": ".com"}
    refused = check(tmp_path, **SAFE | weak)
    assert refused.returncode != 0
    for name in (
        "SECRET_KEY_FALLBACKS: key 1",
        "RANKLOOP_TRUSTED_PROXIES contains",
        "ALLOWED_HOSTS contains '.com'",
    ):
        assert f"- {name}" in refused.stderr


def test_unknown_environment_is_refused(tmp_path: Path) -> None:
    refused = check(tmp_path, **SAFE | {"RANKLOOP_ENV": "prod"})
    assert refused.returncode != 0
    assert "RANKLOOP_ENV='prod' is invalid" in refused.stderr


def test_database_other_than_postgres_is_refused(tmp_path: Path) -> None:
    refused = check(tmp_path, **SAFE | {"DATABASE_URL": "mysql://rankloop:fJ29xkW0@db/rankloop"})
    assert refused.returncode != 0
    assert "DATABASE_URL must begin with postgresql://" in refused.stderr


def test_secrets_can_be_read_from_files(tmp_path: Path) -> None:
    files = {}
    for name in ("SECRET_KEY", "DATABASE_URL", "BROKER_URL"):
        (tmp_path / name).write_text(f"{SAFE[name]}\n")
        files[f"{name}_FILE"] = str(tmp_path / name)
    plain = {name: value for name, value in SAFE.items() if f"{name}_FILE" not in files}
    started = check(tmp_path / "state", **plain, **files)
    assert started.returncode == 0, started.stderr


def test_cookies_and_pages_require_https(tmp_path: Path) -> None:
    program = (
        "import django; django.setup()\n"
        "from django.conf import settings\n"
        "from django.test import Client\n"
        "answer = Client().get('/', HTTP_HOST='rank.example.org', secure=True)\n"
        "csrf = answer.cookies[settings.CSRF_COOKIE_NAME]\n"
        "print(answer.headers['Strict-Transport-Security'], csrf['secure'], csrf['samesite'],"
        " settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_HTTPONLY, settings.SESSION_COOKIE_SAMESITE)"
    )
    own = {"PATH": os.environ["PATH"], "RANKLOOP_STATE": str(tmp_path)}
    asked = subprocess.run(
        [sys.executable, "-c", program],
        cwd=settings.BASE_DIR,
        env=own | SAFE | {"DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert asked.stdout.split() == ["max-age=2592000", "True", "Lax", "True", "True", "Lax"], asked.stderr


def test_missing_secret_file_is_refused(tmp_path: Path) -> None:
    refused = check(tmp_path, **SAFE | {"SECRET_KEY_FILE": str(tmp_path / "none")})
    assert refused.returncode != 0
    assert "SECRET_KEY_FILE" in refused.stderr
