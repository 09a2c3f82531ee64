from __future__ import annotations

import time
from functools import partial

import pytest
from django.test import Client

from config import views
from config.celery import app

pytestmark = pytest.mark.django_db


def test_health_check_succeeds_with_the_database_and_the_broker(client: Client) -> None:
    response = client.get("/healthz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "database": "ok", "broker": "ok"}
    assert "no-store" in response["Cache-Control"]


def test_health_check_fails_without_the_broker(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = partial(app.connection_for_write, "redis+socket:///nowhere/valkey.sock")
    monkeypatch.setattr(app, "connection_for_write", connect)
    began = time.monotonic()
    response = client.get("/healthz")
    assert time.monotonic() - began < 2
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
