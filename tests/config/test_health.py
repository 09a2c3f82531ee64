from __future__ import annotations

import pytest
from django.test import Client

from config import views

pytestmark = pytest.mark.django_db


def test_it_is_healthy_with_database_and_broker(client: Client) -> None:
    response = client.get("/healthz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "ok", "broker": "ok"}
    assert "no-store" in response["Cache-Control"]


def test_it_says_that_the_broker_is_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    away = views.app.connection_for_write("redis+socket:///nowhere/valkey.sock")
    monkeypatch.setattr(views.app, "connection_for_write", lambda **options: away)
    response = client.get("/healthz")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "ok", "broker": "unreachable"}


def test_it_says_that_the_database_is_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise views.DatabaseError("connection refused")

    monkeypatch.setattr(views.connection, "cursor", refuse)
    response = client.get("/healthz")
    assert response.status_code == 503
    assert response.json() == {"status": "unavailable", "database": "unreachable", "broker": "ok"}


def test_it_is_read_only(client: Client) -> None:
    assert client.post("/healthz").status_code == 405
