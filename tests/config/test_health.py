from __future__ import annotations

import pytest
from django.test import Client

from config import views

pytestmark = pytest.mark.django_db


def test_health_check_succeeds_with_database_and_broker(client: Client) -> None:
    response = client.get("/healthz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "ok", "broker": "ok"}
    assert "no-store" in response["Cache-Control"]


def test_health_check_fails_without_the_broker(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    away = views.app.connection_for_write("redis+socket:///nowhere/valkey.sock")
    monkeypatch.setattr(views.app, "connection_for_write", lambda **options: away)
    response = client.get("/healthz")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "ok", "broker": "unreachable"}


def test_health_check_fails_without_the_database(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise views.DatabaseError("connection refused")

    monkeypatch.setattr(views.connection, "cursor", refuse)
    response = client.get("/healthz")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "unreachable", "broker": "ok"}


def test_health_check_accepts_only_get(client: Client) -> None:
    assert client.post("/healthz").status_code == 405
