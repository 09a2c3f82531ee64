"""Behind proxies, the client's address and scheme are read only from the headers of trusted proxies.
Malformed headers never cause an error."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest
from django.conf import settings
from django.test import RequestFactory, override_settings

from annotation.accounts.login.adapters import NO_ADDRESS, AccountAdapter
from config.requests.proxies import client_scope
from embedded import web
from tests.config.test_compose import OURS

PROXY, SECOND, CLIENT = "10.0.0.1", "10.0.0.2", "203.0.113.9"
TRUSTED = override_settings(TRUSTED_PROXIES=[ip_network("10.0.0.0/24"), ip_network("fd00::/64")])


def seen(peer: str | None, *forwarded: str, proto: str | None = None) -> tuple[str, str]:
    """The client's address and the scheme that Rankloop determines for a request."""
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    if proto is not None:
        headers.append((b"x-forwarded-proto", proto.encode("latin-1")))
    scope = client_scope(
        {"type": "http", "scheme": "http", "client": peer and (peer, 5000), "headers": headers}
    )
    return (scope["client"] and scope["client"][0]) or "", scope["scheme"]


def test_no_proxy_is_trusted_by_default() -> None:
    assert settings.TRUSTED_PROXIES == []
    assert seen(PROXY, CLIENT, proto="https") == (PROXY, "http")
    assert seen("127.0.0.1", CLIENT, proto="https") == ("127.0.0.1", "http")


@TRUSTED
@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (PROXY, [CLIENT], CLIENT),
        # The client forged the address 1.2.3.4.
        (PROXY, [f"1.2.3.4, {CLIENT}"], CLIENT),
        # The header appears twice.
        (PROXY, ["1.2.3.4", CLIENT], CLIENT),
        # The request passed through two proxies.
        (PROXY, [f"1.2.3.4, {CLIENT}, {SECOND}"], CLIENT),
        (PROXY, [f"{CLIENT}:4711"], CLIENT),
        (PROXY, ["[2001:db8::7]:4711"], "2001:db8::7"),
        (PROXY, ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], CLIENT),
        ("fd00::5", [CLIENT], CLIENT),
        (CLIENT, ["1.2.3.4"], CLIENT),  # not a proxy
        (PROXY, [], PROXY),
        (PROXY, [f"{SECOND}, {PROXY}"], PROXY),  # proxies only
        (PROXY, ["unknown"], PROXY),
        (PROXY, [f"{CLIENT}, unknown"], PROXY),
        (PROXY, [""], PROXY),
        (PROXY, [",,,"], PROXY),
        (PROXY, ["1.2.3.4, " + "x" * 100_000], PROXY),
        (PROXY, ["\xff\xfe"], PROXY),
        (PROXY, ["[::1"], "::1"),
        (PROXY, ["[]", "[]:80", ":", "::::"], PROXY),
        (PROXY, ["999.1.1.1"], PROXY),
    ],
)
def test_client_address_is_the_rightmost_untrusted_address(
    peer: str, forwarded: list[str], address: str
) -> None:
    assert seen(peer, *forwarded)[0] == address


@TRUSTED
@pytest.mark.parametrize(
    ("peer", "proto", "scheme"),
    [
        (PROXY, "https", "https"),
        (PROXY, "HTTPS", "https"),
        (PROXY, "http, https", "https"),
        (PROXY, "https, http", "http"),
        (PROXY, "javascript", "http"),
        (PROXY, "", "http"),
        (CLIENT, "https", "http"),
    ],
)
def test_scheme_comes_from_the_nearest_proxy(peer: str, proto: str, scheme: str) -> None:
    assert seen(peer, CLIENT, proto=proto)[1] == scheme


@TRUSTED
@pytest.mark.parametrize("peer", [None, "", "not an address"])
def test_peer_without_an_address_is_not_a_proxy(peer: str | None) -> None:
    assert seen(peer, CLIENT, proto="https")[1] == "http"


def counted(address: str, rf: RequestFactory) -> str:
    return AccountAdapter().get_client_ip(rf.get("/", REMOTE_ADDR=address))


def test_login_attempts_are_counted_per_ipv4_address_or_ipv6_network(rf: RequestFactory) -> None:
    assert counted(CLIENT, rf) == CLIENT
    assert counted("2001:db8::1", rf) == counted("2001:db8::ffff:2", rf)
    assert counted("2001:db8::1", rf) != counted("2001:db8:0:1::1", rf)
    assert counted("", rf) == counted("x\x00", rf) == NO_ADDRESS


def server_commands() -> list[list[str]]:
    """The commands that start the web server in the image, in Compose and in the embedded stack."""
    dockerfile = (settings.BASE_DIR / "Dockerfile").read_text()
    commands: list[Any] = [
        json.loads(line.removeprefix("CMD "))
        for line in dockerfile.replace("\\\n", "").splitlines()
        if line.startswith("CMD ")
    ]
    commands += [service["command"] for service in OURS.values()]
    with web.listen(0) as listener:
        commands.append(web.program(listener))
    servers = [command for command in commands if "uvicorn" in command]
    assert len(servers) == 3
    return servers


def test_no_command_lets_uvicorn_read_the_proxy_headers() -> None:
    assert all("--no-proxy-headers" in command for command in server_commands())


def test_compose_trusts_only_the_gateway_of_its_network() -> None:
    (gateway,) = {ip_network(value) for value in _compose_defaults("RANKLOOP_TRUSTED_PROXIES")}
    assert gateway.num_addresses == 1


def _compose_defaults(name: str) -> set[str]:
    return {service["environment"][name].partition(":-")[2].rstrip("}") for service in OURS.values()}
