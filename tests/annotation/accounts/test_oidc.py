"""OpenID Connect login: the whole flow, with a strict provider on loopback and with malicious providers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from annotation.accounts.login.allauth_internals import activate_totp
from annotation.accounts.tokens import create_token
from annotation.models import Project, User
from config.oidc import OidcProvider
from tests.annotation.accounts.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, running

pytestmark = pytest.mark.usefixtures("empty_cache")
ME, BEGIN = "/api/v1/auth/me", "/api/v1/auth/oidc/begin"
HOST = "http://testserver"


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with running() as provider:
        yield provider


@pytest.fixture
def provider(server: Provider, settings: Settings) -> Provider:
    """The provider `company`, configured to refuse unknown users."""
    server.person, server.claims, server.sign, server.user_info = {"sub": "u-1"}, {}, None, None
    server.up, server.jwk_changes = True, {}
    server.asked.clear()
    server.refusals.clear()
    configure(settings, server)
    return server


def configure(settings: Settings, server: Provider, *, create: bool = False) -> None:
    configured = OidcProvider("company", "Company account", server.url, CLIENT_ID, CLIENT_SECRET, create)
    settings.OIDC_PROVIDERS = (configured,)
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [configured.for_allauth()]}}


class Browser:
    def __init__(self, user: User | None = None) -> None:
        self.api = APIClient(enforce_csrf_checks=True)
        if user is not None:
            self.api.force_login(user)

    def begin(self, next: str = "/", provider: str = "company") -> Any:
        self.api.get(ME)
        token = self.api.cookies["csrftoken"].value
        return self.api.post(BEGIN, {"provider": provider, "next": next}, headers={"X-CSRFToken": token})

    def at_provider(self, provider: Provider, next: str = "/") -> str:
        """Opens the provider's page, where the user consents. Returns the URL to which the provider
        redirects."""
        location = self.begin(next).json()["location"]
        assert location.startswith(f"{provider.url}/authorize?")
        return provider.authorize(dict(parse_qsl(urlsplit(location).query)))

    def back(self, url: str) -> str:
        assert url.startswith(f"{HOST}/api/v1/auth/oidc/company/callback?")
        answer = self.api.get(url.removeprefix(HOST))
        assert answer.status_code == 302
        return str(answer["Location"])

    def log_in(self, provider: Provider, next: str = "/") -> str:
        return self.back(self.at_provider(provider, next))

    @property
    def name(self) -> str | None:
        answer = self.api.get(ME)
        return answer.json()["username"] if answer.status_code == 200 else None


def link(user: User, subject: str = "u-1") -> None:
    SocialAccount.objects.create(user=user, provider="company", uid=subject)


def test_login_providers_are_listed(provider: Provider, db: None) -> None:
    assert APIClient().get("/api/v1/auth/providers").json() == [{"id": "company", "name": "Company account"}]


def test_oidc_login_ends_at_the_requested_page_in_a_new_session(provider: Provider, alice: User) -> None:
    link(alice)
    browser = Browser()
    back = browser.at_provider(provider, next="/projects/support")
    before = browser.api.cookies["sessionid"].value
    assert browser.back(back) == "/projects/support"
    assert browser.name == "alice"
    assert browser.api.cookies["sessionid"].value != before


def test_each_login_has_a_new_state_and_nonce_and_challenge(provider: Provider, alice: User) -> None:
    for _ in range(2):
        Browser().at_provider(provider)
    first, second = provider.asked
    assert all(first[name] != second[name] for name in ("state", "nonce", "code_challenge"))


def test_starting_an_oidc_login_requires_the_csrf_token(provider: Provider, db: None) -> None:
    """Without the CSRF token, another site could log a browser in to a different account."""
    browser = APIClient(enforce_csrf_checks=True)
    assert browser.post(BEGIN, {"provider": "company"}).status_code == 403


def test_callback_without_a_login_request_is_refused(provider: Provider, alice: User) -> None:
    """A callback must contain the `state` of a login request from the same browser, and is accepted
    only once."""
    link(alice)
    attacker, victim = Browser(), Browser()
    back = attacker.at_provider(provider)
    assert victim.back(back) == "/login?problem=failed"
    assert victim.name is None
    code = dict(parse_qsl(urlsplit(back).query))["code"]
    assert victim.back(f"{HOST}/api/v1/auth/oidc/company/callback?code={code}") == "/login?problem=failed"
    assert attacker.back(back) == "/"
    again = Browser()
    again.api.cookies = attacker.api.cookies
    again.api.logout()
    assert again.back(back) == "/login?problem=failed"


def test_stolen_code_is_useless_without_the_verifier(provider: Provider, alice: User) -> None:
    link(alice)
    victims = dict(parse_qsl(urlsplit(Browser().at_provider(provider)).query))["code"]
    thief = Browser()
    own = dict(parse_qsl(urlsplit(thief.at_provider(provider)).query))
    url = f"{HOST}/api/v1/auth/oidc/company/callback?code={victims}&state={own['state']}"
    assert thief.back(url) == "/login?problem=failed"
    assert provider.refusals == ["invalid_grant"]


def _other_key(provider: Provider, claims: dict[str, Any]) -> str:
    return jwt.encode(
        claims, rsa.generate_private_key(65537, 2048), algorithm="RS256", headers={"kid": "key-1"}
    )


def _unsigned(provider: Provider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", algorithm="none", headers={"kid": "key-1"})


def _public_key_as_secret(provider: Provider, claims: dict[str, Any]) -> str:
    """The classic algorithm confusion attack: a token signed with HMAC, using the public key as the
    secret."""
    pem = provider.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return jwt.encode(claims, pem, algorithm="HS256", headers={"kid": "key-1"})


def _unknown_key(provider: Provider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, provider.key, algorithm="RS256", headers={"kid": "key-2"})


def _other_algorithm(provider: Provider, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, provider.key, algorithm="PS256", headers={"kid": "key-1"})


@pytest.mark.parametrize(
    "sign", [_other_key, _unsigned, _public_key_as_secret, _unknown_key, _other_algorithm]
)
def test_token_not_signed_by_the_provider_is_refused(
    provider: Provider, alice: User, sign: Callable[[Provider, dict[str, Any]], str]
) -> None:
    link(alice)
    provider.sign = sign
    browser = Browser()
    assert browser.log_in(provider) == "/login?problem=failed"
    assert browser.name is None


def test_single_signing_key_needs_no_id_or_algorithm(provider: Provider, alice: User) -> None:
    link(alice)
    provider.jwk_changes = {"kid": None, "alg": None}
    provider.sign = lambda provider, claims: jwt.encode(claims, provider.key, algorithm="PS256")
    browser = Browser()
    assert browser.log_in(provider) == "/"
    assert browser.name == "alice"


def test_token_signed_with_an_encryption_key_is_refused(provider: Provider, alice: User) -> None:
    link(alice)
    provider.jwk_changes = {"use": "enc"}
    assert Browser().log_in(provider) == "/login?problem=failed"


def test_new_signing_key_is_used_from_the_next_login(provider: Provider, alice: User) -> None:
    link(alice)
    assert Browser().log_in(provider) == "/"
    former, provider.key = provider.key, rsa.generate_private_key(65537, 2048)
    assert Browser().log_in(provider) == "/"
    provider.sign = lambda provider, claims: jwt.encode(
        claims, former, algorithm="RS256", headers={"kid": "key-1"}
    )
    assert Browser().log_in(provider) == "/login?problem=failed"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another request"},
        {"nonce": None},
        {"iss": "https://elsewhere.example"},
        {"aud": "another client"},
        {"azp": "another client", "aud": [CLIENT_ID, "another client"]},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": 9_999_999_999},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 300},
        {"sub": "u-1\x00"},
    ],
    ids=str,
)
def test_id_token_with_wrong_claims_is_refused(
    provider: Provider, alice: User, claims: dict[str, Any]
) -> None:
    link(alice)
    provider.claims = claims
    browser = Browser()
    assert browser.log_in(provider) == "/login?problem=failed"
    assert browser.name is None


def test_user_info_of_another_subject_is_refused(provider: Provider, alice: User) -> None:
    link(alice)
    provider.user_info = {"sub": "u-2", "email": "root@example.org"}
    assert Browser().log_in(provider) == "/login?problem=failed"


def test_unknown_oidc_user_is_refused_by_default(provider: Provider, alice: User) -> None:
    people = User.objects.count()
    assert Browser().log_in(provider) == "/login?problem=unknown"
    assert (User.objects.count(), SocialAccount.objects.count()) == (people, 0)


def test_unknown_oidc_user_gets_an_account_if_the_configuration_allows_it(
    provider: Provider, settings: Settings, alice: User, project: Project
) -> None:
    configure(settings, provider, create=True)
    provider.person = {"sub": "u-9", "preferred_username": "alice", "name": "Alice the Second"}
    browser = Browser()
    assert browser.log_in(provider) == "/"
    me = browser.api.get(ME).json()
    assert (me["username"], me["name"], me["memberships"]) == ("alice-2", "Alice the Second", [])
    assert (me["is_admin"], browser.api.get("/api/v1/projects/").json()["results"]) == (False, [])
    assert not User.objects.get(username="alice-2").has_usable_password()
    assert Browser().log_in(provider) == "/"
    assert User.objects.filter(username__startswith="alice").count() == 2


@pytest.mark.parametrize("name", ["", "../../<b>", "x" * 400, "Ünï cødé", "a\x00b"])
def test_any_name_from_the_provider_becomes_a_valid_user_name(
    provider: Provider, settings: Settings, db: None, name: str
) -> None:
    configure(settings, provider, create=True)
    provider.person = {"sub": "u-9", "preferred_username": name}
    browser = Browser()
    assert browser.log_in(provider) == "/"
    user = User.objects.get()
    user.clean_fields(exclude=["password"])
    assert browser.name == user.username


@pytest.mark.parametrize(
    ("verified", "address", "comes_to"),
    [
        (True, "ALICE@example.org", "/"),
        (False, "alice@example.org", "/login?problem=unknown"),
        ("true", "alice@example.org", "/login?problem=unknown"),
        (True, "ben@example.org", "/login?problem=unknown"),
        (True, "", "/login?problem=unknown"),
    ],
)
def test_existing_account_is_linked_only_if_its_address_is_verified(
    provider: Provider, alice: User, verified: object, address: str, comes_to: str
) -> None:
    User.objects.filter(pk=alice.pk).update(email="alice@example.org")
    provider.person = {"sub": "u-1", "email": address, "email_verified": verified}
    assert Browser().log_in(provider) == comes_to
    assert SocialAccount.objects.filter(user=alice).exists() == (comes_to == "/")


def test_address_shared_by_two_accounts_links_neither(provider: Provider, alice: User, ben: User) -> None:
    User.objects.update(email="shared@example.org")
    provider.person = {"sub": "u-1", "email": "shared@example.org", "email_verified": True}
    assert Browser().log_in(provider) == "/login?problem=unknown"


def test_logged_in_user_links_their_own_account(provider: Provider, alice: User, ben: User) -> None:
    browser = Browser(alice)
    assert browser.log_in(provider, next="/account") == "/account"
    assert [each["provider"] for each in browser.api.get("/api/v1/account/").json()["connections"]] == [
        "company"
    ]
    assert Browser().log_in(provider) == "/"
    assert Browser(ben).log_in(provider) == "/login?problem=taken"
    assert SocialAccount.objects.get().user == alice


def test_api_token_cannot_link_an_account(provider: Provider, alice: User) -> None:
    """If a token could link accounts, anyone who stole it would gain permanent access to its owner's
    account."""
    _, text = create_token(user=alice, name="script")
    browser = Browser()
    browser.api.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    location = browser.begin().json()["location"]
    back = provider.authorize(dict(parse_qsl(urlsplit(location).query)))
    assert browser.back(back) == "/login?problem=unknown"
    assert not SocialAccount.objects.exists()


def test_inactive_account_cannot_log_in_with_oidc(provider: Provider, alice: User) -> None:
    link(alice)
    User.objects.update(is_active=False)
    assert Browser().log_in(provider) == "/login?problem=inactive"


def test_oidc_login_requires_the_second_factor(provider: Provider, alice: User) -> None:
    link(alice)
    activate_totp(alice, "JBSWY3DPEHPK3PXP")
    browser = Browser()
    assert browser.log_in(provider, next="/projects/support") == (
        "/login?step=code&next=%2Fprojects%2Fsupport"
    )
    assert browser.name is None


@pytest.mark.parametrize(
    "page", ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "javascript:x", ""]
)
def test_oidc_login_never_redirects_to_another_site(provider: Provider, alice: User, page: str) -> None:
    link(alice)
    assert Browser().log_in(provider, next=page) == "/"


def test_cancelled_oidc_login_is_reported(provider: Provider, db: None) -> None:
    browser = Browser()
    state = dict(parse_qsl(urlsplit(browser.at_provider(provider)).query))["state"]
    url = f"{HOST}/api/v1/auth/oidc/company/callback?error=access_denied&state={state}"
    assert browser.back(url) == "/login?problem=cancelled"


def test_unreachable_provider_is_reported(provider: Provider, alice: User) -> None:
    link(alice)
    browser = Browser()
    back = browser.at_provider(provider)
    provider.up = False
    answer = browser.begin()
    assert (answer.status_code, answer.json()["type"]) == (503, "provider-unreachable")
    assert browser.back(back) == "/login?problem=failed"


def test_login_times_out_if_the_provider_hangs(settings: Settings, db: None) -> None:
    settings.SOCIALACCOUNT_REQUESTS_TIMEOUT = 0.2
    with socket.create_server(("127.0.0.1", 0)) as hung:  # accepts connections and never responds
        configure(settings, Provider(url=f"http://127.0.0.1:{hung.getsockname()[1]}"))
        answer = Browser().begin()
    assert (answer.status_code, answer.json()["type"]) == (503, "provider-unreachable")


def test_unconfigured_provider_is_refused_and_the_error_names_the_field(provider: Provider, db: None) -> None:
    answer = Browser().begin(provider="other")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "provider")


def test_callback_address_uses_https_in_production(provider: Provider, settings: Settings, db: None) -> None:
    settings.PRODUCTION = True
    Browser().at_provider(provider)
    assert provider.asked[0]["redirect_uri"] == "https://testserver/api/v1/auth/oidc/company/callback"
