"""A delivery is sent only to a server with a valid certificate for the name in the address."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_django import Settings

from annotation.webhooks import safe_post
from tests.annotation.webhooks.receiver import LOOPBACK, Receiver, receiving

DAY = timedelta(days=1)
Key = ec.EllipticCurvePrivateKey


def certificate(
    *,
    of: str,
    by: tuple[x509.Certificate, Key] | None = None,
    ends: datetime,
    tmp_path: Path,
    key_usage: bool = True,
) -> tuple[x509.Certificate, Key, Path]:
    """Returns (certificate, key, file that contains both). `by` is the signing authority; without
    it, the certificate is self-signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, of)])
    issuer, signer = (by[0].subject, by[1]) if by else (name, key)
    names: x509.GeneralName = x509.DNSName(of)
    if of.replace(".", "").isdigit():
        names = x509.IPAddress(ip_address(of))
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - 30 * DAY)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if key_usage:
        builder = builder.add_extension(_key_usage(authority=by is None), critical=True)
    made = builder.sign(signer, hashes.SHA256())
    file = tmp_path / f"{of}-{made.serial_number}.pem"
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made, key, file


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[x509.Certificate, Key]]:
    """A certificate authority that the webhook client trusts."""
    made, key, file = certificate(of="authority", ends=datetime.now(UTC) + DAY, tmp_path=tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    safe_post._tls.cache_clear()
    yield made, key
    safe_post._tls.cache_clear()


def serve_by(server: Receiver, file: Path) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server.url.replace("http://", "https://")


def test_delivery_is_sent_only_if_the_certificate_is_valid_for_the_host(
    settings: Settings, authority: tuple[x509.Certificate, Key], tmp_path: Path
) -> None:
    settings.WEBHOOK_NETWORKS = LOOPBACK
    soon, past = datetime.now(UTC) + DAY, datetime.now(UTC) - DAY
    good = certificate(of="127.0.0.1", by=authority, ends=soon, tmp_path=tmp_path)[2]
    with receiving() as server:
        outcome = safe_post.post(serve_by(server, good), body=b"{}", headers={})
        assert (outcome.status, outcome.error, len(server.got)) == (204, "", 1)

    for reason, file in {
        "self-signed certificate": certificate(of="127.0.0.1", ends=soon, tmp_path=tmp_path)[2],
        "certificate is not valid for '127.0.0.1'": certificate(
            of="127.0.0.2", by=authority, ends=soon, tmp_path=tmp_path
        )[2],
        "certificate has expired": certificate(of="127.0.0.1", by=authority, ends=past, tmp_path=tmp_path)[2],
    }.items():
        with receiving() as server:
            outcome = safe_post.post(serve_by(server, file), body=b"{}", headers={})
        assert outcome.status is None
        assert reason in outcome.error
        assert server.got == []


def test_incomplete_ca_certificate_is_rejected_on_every_python_version(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since Python 3.13, CA certificates must meet the requirements of RFC 5280."""
    settings.WEBHOOK_NETWORKS = LOOPBACK
    soon = datetime.now(UTC) + DAY
    made, key, file = certificate(of="authority", ends=soon, tmp_path=tmp_path, key_usage=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    safe_post._tls.cache_clear()
    shown = certificate(of="127.0.0.1", by=(made, key), ends=soon, tmp_path=tmp_path)[2]
    with receiving() as server:
        outcome = safe_post.post(serve_by(server, shown), body=b"{}", headers={})
    safe_post._tls.cache_clear()
    assert outcome.status is None
    assert "CA cert does not include key usage extension" in outcome.error
    assert server.got == []


def test_address_without_tls_is_refused_with_a_reason(
    settings: Settings, authority: tuple[x509.Certificate, Key]
) -> None:
    settings.WEBHOOK_NETWORKS = LOOPBACK
    with receiving() as server:
        outcome = safe_post.post(server.url.replace("http://", "https://"), body=b"{}", headers={})
        assert outcome.status is None
        assert "SSL" in outcome.error
        assert server.got == []


def test_endless_handshake_times_out(
    settings: Settings, authority: tuple[x509.Certificate, Key], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_NETWORKS = LOOPBACK
    monkeypatch.setattr(safe_post, "TOTAL_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/hook"
        outcome = safe_post.post(url, body=b"{}", headers={})
    assert outcome.status is None
    assert "No response within" in outcome.error
    assert outcome.latency_ms < 5_000
