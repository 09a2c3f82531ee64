"""Webhooks are never sent to the internal network, however the address is written or resolved."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from annotation.models import Project, RankingTask, User
from annotation.webhooks import safe_post
from annotation.webhooks.safe_post import RefusedAddress, refuse_address
from tests.annotation.webhooks.receiver import Receiver

ClientOf = Callable[[User | None], APIClient]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ],
)
def test_internal_addresses_are_refused(address: str) -> None:
    with pytest.raises(RefusedAddress, match="not a public address"):
        refuse_address(ipaddress.ip_address(address))


def test_public_addresses_and_configured_networks_are_allowed(settings: Settings) -> None:
    refuse_address(ipaddress.ip_address("93.184.215.14"))
    refuse_address(ipaddress.ip_address("2606:2800:21f:cb07:6820:80da:af6b:8b2c"))
    settings.WEBHOOK_NETWORKS = [ipaddress.ip_network("10.1.0.0/16")]
    refuse_address(ipaddress.ip_address("10.1.2.3"))
    refuse_address(ipaddress.ip_address("::ffff:10.1.2.3"))
    with pytest.raises(RefusedAddress):
        refuse_address(ipaddress.ip_address("10.2.2.3"))


def test_connection_uses_the_checked_address(
    project: Project,
    tasks: list[RankingTask],
    alice: User,
    receiver: Receiver,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the name resolves alternately to an internal and a public address. The sender looks the
    name up only once, so it cannot check one address and connect to another."""
    settings.WEBHOOK_NETWORKS = []
    port = receiver.server_address[1]
    real, looks = socket.getaddrinfo, []

    def rebinding(host: str, *args: Any, **kwargs: Any) -> Any:
        looks.append(host)
        return real("127.0.0.1" if len(looks) % 2 else "93.184.215.14", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    url = f"http://rebinding.example:{port}/"
    outcome = safe_post.post(url, body=b"{}", headers={})
    assert (outcome.status, looks) == (None, ["rebinding.example"])
    assert "127.0.0.1 is not a public address" in outcome.error
    connected = []

    def unreachable(line: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        raise OSError("unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    safe_post.post(url, body=b"{}", headers={})
    assert connected == ["93.184.215.14"], "the connection uses the checked address"
    assert receiver.got == []


def test_sending_to_an_unusually_written_loopback_address_is_refused(project: Project) -> None:
    for host in ("2130706433", "0x7f.1", "localhost", "127.1"):
        assert "not a public address" in safe_post.post(f"http://{host}:9/", body=b"", headers={}).error


@pytest.mark.parametrize(
    ("url", "https_only"),
    [
        ("ftp://example.org/", False),
        ("https://", False),
        ("nonsense", False),
        ("https://user:secret@example.org/", False),
        ("https://example.org/#part", False),
        ("https://example.org:99999/", False),
        ("https://exa mple.org/", False),
        ("https://127.0.0.1/", False),
        ("https://[::1]/", False),
        ("http://169.254.169.254/latest", False),
        ("http://example.org/", True),
    ],
)
def test_invalid_url_is_refused_and_the_error_names_the_field(
    project: Project, mona: User, client_of: ClientOf, settings: Settings, url: str, https_only: bool
) -> None:
    settings.WEBHOOK_HTTPS_ONLY = https_only
    body = {"url": url, "events": ["ranking.submitted"]}
    response = client_of(mona).post("/api/v1/projects/support/webhooks/", body)
    assert response.status_code == 422, response.content
    assert [error["field"] for error in response.json()["errors"]] == ["url"]


def test_sending_to_a_plain_http_address_is_refused_in_production(settings: Settings) -> None:
    settings.WEBHOOK_HTTPS_ONLY = True
    assert "use https" in safe_post.post("http://93.184.215.14/", body=b"", headers={}).error


def test_many_unreachable_addresses_share_the_total_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_post, "TOTAL_SECONDS", 0.5)
    monkeypatch.setattr(safe_post, "CONNECT_SECONDS", 0.3)
    dead = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"93.184.215.{n}", 80)) for n in range(1, 41)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: dead)
    tried = []

    def hang(line: socket.socket, address: tuple[str, int]) -> None:
        tried.append(address)
        time.sleep(line.gettimeout() or 0)
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", hang)
    outcome = safe_post.post("http://dead.example/", body=b"", headers={})
    assert (outcome.status, len(tried)) == (None, 2)
    assert "No response within" in outcome.error
