"""OpenID Connect: login with an account at the organisation's own provider.

Uses allauth's OAuth client and the authorization code flow with state, nonce and PKCE. This module adds two
checks that allauth lacks. It always verifies the ID token's signature: the key must be in the provider's key
set, and only a few algorithms are allowed. It also requires the token to contain the nonce of this browser's
request.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import jwt
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme
from requests import RequestException

from annotation.accounts.login.allauth_internals import unstash_state
from annotation.accounts.login.passwords import log_in_known
from annotation.models import User
from config.oidc import OidcProvider
from config.problems import FieldProblem, Problem
from preferences.text import NUL, storage_fault

logger = logging.getLogger(__name__)
ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"})
CLOCK_SECONDS = 60
# Exceptions caused by the network, the provider or an invalid token. The last four exceptions are raised for
# responses with an unexpected structure.
_FAILURES: tuple[type[Exception], ...] = (
    *(OAuth2Error, RequestException, jwt.exceptions.PyJWTError),
    *(KeyError, ValueError, TypeError, AttributeError),
)
_NOT_IN_A_NAME = re.compile(r"[^\w.@+-]+")
_MAX_NAME = 140  # leaves room for a suffix: the column holds 150 characters


class Refused(Exception):
    """Raised if the provider's response does not log the user in. The login page receives the code
    `reason`."""

    def __init__(self, reason: str, cause: str) -> None:
        super().__init__(cause)
        self.reason = reason


@dataclass(frozen=True)
class Identity:
    """The provider's claims about the user."""

    subject: str
    email: str
    """Empty unless the provider has verified the email address."""
    username: str
    name: str


class _Adapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        url = request.build_absolute_uri(f"/api/v1/auth/oidc/{self.provider_id}/callback")
        return url.replace("http://", "https://", 1) if settings.PRODUCTION else url


def providers() -> tuple[OidcProvider, ...]:
    configured: tuple[OidcProvider, ...] = settings.OIDC_PROVIDERS
    return configured


def _named(provider_id: str) -> OidcProvider | None:
    return next((each for each in providers() if each.id == provider_id), None)


def begin(*, request: HttpRequest, provider_id: str, next_page: str = "/") -> str:
    """Returns the provider's login URL, to which the browser must be redirected. Raises Problem if the
    provider is not configured or doesn't respond."""
    if _named(provider_id) is None:
        known = ", ".join(each.id for each in providers()) or "none"
        raise Problem(
            f"There is no provider {provider_id!r}.",
            errors=[FieldProblem("provider", f"Configured: {known}.")],
        )
    adapter = _Adapter(request, provider_id)
    provider = adapter.get_provider()
    nonce = secrets.token_urlsafe(32)
    extra = {**provider.get_auth_params(), **provider.get_pkce_params(), "nonce": nonce}
    verifier = extra.pop("code_verifier")
    try:
        client = adapter.get_client(request, provider.app)
        client.state = provider.stash_redirect_state(
            request, "login", next_url=safe_page(next_page), nonce=nonce, pkce_code_verifier=verifier
        )
        return str(client.get_redirect_url(adapter.authorize_url, provider.get_scope(), extra))
    except (RequestException, KeyError, ValueError) as error:
        logger.warning("The provider %s did not respond: %s", provider_id, error)
        raise Problem(
            "The login provider is not responding. Try again, or log in with a password.",
            status=503,
            type="provider-unreachable",
        ) from None


def complete(*, request: HttpRequest, provider_id: str, state_id: str, denial: str) -> str:
    """Checks the provider's response and returns the page to which the browser is redirected. If the response
    is accepted, either the user is logged in or the page asks for the second factor. Otherwise, the page is
    the login page, which shows the reason."""
    try:
        state, identity = _identity(request, provider_id, state_id, denial)
        user = _user_of(request, provider_id, identity)
    except Refused as refused:
        logger.warning("A login through %s was refused: %s", provider_id, refused)
        return "/login?" + urlencode({"problem": refused.reason})
    page = safe_page(state.get("next", "/"))
    if request.user.is_authenticated and request.user.pk == user.pk:
        return page
    if log_in_known(request=request, user=user, method="oidc", provider=provider_id):
        return page
    return "/login?" + urlencode({"step": "code", "next": page})


def safe_page(page: str) -> str:
    """Returns `page` if it belongs to this site, otherwise `/`. `//elsewhere` and `https://elsewhere` would
    lead to another site."""
    here = page.startswith("/") and url_has_allowed_host_and_scheme(page, allowed_hosts=None)
    return page if here else "/"


def _identity(
    request: HttpRequest, provider_id: str, state_id: str, denial: str
) -> tuple[dict[str, Any], Identity]:
    if _named(provider_id) is None:
        raise Refused("failed", "no such provider")
    adapter = _Adapter(request, provider_id)
    provider = adapter.get_provider()
    state = unstash_state(request, provider_id=provider.sub_id, state_id=state_id)
    if state is None:
        raise Refused(
            "failed",
            "the state does not belong to a request from this browser, has been used, or has expired",
        )
    if denial:
        reason = "cancelled" if denial == "access_denied" else "failed"
        raise Refused(reason, f"the provider responded with {denial[:100]!r}")
    try:
        tokens = adapter.get_access_token_data(
            request,
            provider.app,
            adapter.get_client(request, provider.app),
            pkce_code_verifier=state["pkce_code_verifier"],
        )
        claims = _verified(adapter, provider.app.client_id, tokens.get("id_token"), state["nonce"])
        told = _user_info(adapter, tokens["access_token"], claims["sub"])
    except _FAILURES as error:
        raise Refused("failed", f"{type(error).__name__}: {error}") from None
    return state, _said(claims | told)


def _verified(adapter: _Adapter, client_id: str, id_token: object, nonce: str) -> dict[str, Any]:
    if not isinstance(id_token, str):
        raise Refused("failed", "there is no ID token")
    header = jwt.get_unverified_header(id_token)
    if header.get("alg") not in ALGORITHMS:
        raise Refused(
            "failed", f"the signature algorithm {header.get('alg')!r} of the ID token is not allowed"
        )
    claims: dict[str, Any] = jwt.decode(
        id_token,
        key=_ProviderKeys(adapter.openid_config["jwks_uri"], header["alg"]).key_named(header.get("kid")),
        algorithms=[header["alg"]],
        audience=client_id,
        issuer=adapter.openid_config["issuer"],
        leeway=CLOCK_SECONDS,
        options={"require": ["exp", "iat", "iss", "aud", "sub"]},
    )
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise Refused("failed", "the nonce belongs to another request")
    if claims.get("azp", client_id) != client_id:
        raise Refused("failed", "the ID token was issued for another client")
    return claims


class _ProviderKeys(jwt.PyJWKClient):
    """The provider's signing keys. They are fetched for each login, so a new key is accepted immediately, and
    a removed key is refused immediately.

    The keys are fetched like the provider's other documents, with the same certificates, proxies and timeout.
    """

    def __init__(self, uri: str, algorithm: str) -> None:
        super().__init__(uri, cache_jwk_set=False)
        self._algorithm = algorithm

    def fetch_data(self) -> Any:
        with get_adapter().get_requests_session() as session:
            answer = session.get(self.uri)
        answer.raise_for_status()
        document = answer.json()
        for key in document["keys"]:
            # `alg` is optional; without `alg`, PyJWT would infer the algorithm from the key type.
            key.setdefault("alg", self._algorithm)
        return document

    def key_named(self, kid: str | None) -> jwt.PyJWK:
        """Returns the key with the ID `kid`. If the key set has only one key, the key or the token can lack
        an ID (OpenID Connect Core, 10.1)."""
        keys = [key for key in self.get_jwk_set() if key.public_key_use in {None, "sig"}]
        found = self.match_kid(keys, kid)  # type: ignore[arg-type]  # None matches keys without an ID
        if found is None and len(keys) == 1 and None in {kid, keys[0].key_id}:
            found = keys[0]
        if found is None:
            raise Refused("failed", "the ID token is not signed with a key of the provider")
        return found


def _user_info(adapter: _Adapter, access_token: str, subject: str) -> dict[str, Any]:
    """Additional claims from the user-info endpoint; empty if the provider has no such endpoint. Raises
    Refused if the response describes a user other than `subject`."""
    if "userinfo_endpoint" not in adapter.openid_config:
        return {}
    told: dict[str, Any] = adapter._fetch_user_info(access_token)
    if told.get("sub") != subject:
        raise Refused("failed", "the user info belongs to another subject")
    return told


def _said(claims: dict[str, Any]) -> Identity:
    def text(name: str) -> str:
        value = claims.get(name)
        return value.replace(NUL, "")[:250] if isinstance(value, str) else ""

    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= 191 or storage_fault(subject):
        raise Refused("failed", "the subject is not a string of 1 to 191 characters")
    email = text("email") if claims.get("email_verified") is True else ""
    return Identity(subject, email, text("preferred_username"), text("name"))


@transaction.atomic
def _user_of(request: HttpRequest, provider_id: str, identity: Identity) -> User:
    """Returns the linked account, else the logged-in account, else the only account with the verified email
    address. If none of these accounts exists and the provider is configured to create accounts, creates an
    account. Links the account if it is not linked yet."""
    linked = SocialAccount.objects.filter(provider=provider_id, uid=identity.subject).select_related("user")
    user = next((each.user for each in linked), None)
    here = request.user if isinstance(request.user, User) else None
    if user is not None and here is not None and user.pk != here.pk:
        raise Refused("taken", "the identity is linked to an account other than the logged-in account")
    if user is None:
        user = here or _invited(identity) or _made(provider_id, identity)
        said = {"email": identity.email, "name": identity.name}
        SocialAccount.objects.create(user=user, provider=provider_id, uid=identity.subject, extra_data=said)
    if not user.is_active:
        raise Refused("inactive", f"the account {user.username} is inactive")
    return user


def _invited(identity: Identity) -> User | None:
    """The active account with the verified email address (ignoring case). None if no account or several
    accounts have the address."""
    if not identity.email:
        return None
    found = list(User.objects.filter(email__iexact=identity.email, is_active=True)[:2])
    return found[0] if len(found) == 1 else None


def _made(provider_id: str, identity: Identity) -> User:
    provider = _named(provider_id)
    if provider is None or not provider.creates_accounts:
        raise Refused("unknown", f"no account is linked to the subject {identity.subject!r}")
    wanted = identity.username or identity.email.partition("@")[0] or "user"
    base = _NOT_IN_A_NAME.sub("-", wanted).strip("-")[:_MAX_NAME] or "user"
    for number in range(1, 1000):
        user = User(username=base if number == 1 else f"{base}-{number}", email=identity.email)
        user.first_name, user.last_name = identity.name[:150], ""
        user.set_unusable_password()
        try:
            with transaction.atomic():
                user.save(force_insert=True)
        except IntegrityError:
            continue
        return user
    raise Refused("failed", f"all 999 usernames derived from {base} are taken")
