"""All uses of SECRET_KEY in Rankloop and its libraries are known, so the effects of changing the key are also
known."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import get_resolver

from config.keys import Use

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("annotation", "config", "embedded", "preferences", "storage", "training")
# Modules and names that use the key, or that encrypt and sign in other ways.
MODULES = (
    "allauth.mfa.utils",
    "cryptography",
    "django.contrib.auth.tokens",
    "django.core.signing",
    "itsdangerous",
    "nacl",
)
NAMES = frozenset(
    {
        "SECRET_KEY",
        "SECRET_KEY_FALLBACKS",
        "salted_hmac",
        "get_signed_cookie",
        "set_signed_cookie",
        "make_token",
    }
)
OURS = {
    "config/keys.py": "all uses",
    "config/settings.py": "reads the key",
    "annotation/accounts/login/resets.py": Use.RESET_LINK,
    "annotation/accounts/login/devices.py": Use.KNOWN_DEVICE,
    "annotation/accounts/login/allauth_internals.py": Use.SECOND_FACTOR,
    "annotation/management/commands/reencrypt_secrets.py": "reports whether there is an old key",
}
# In the installed libraries, only these modules mention the key. If a library update adds such a module, read
# the module. If Rankloop uses the module, add a `Use` and a case in test_key_rotation.py.
LIBRARIES = {
    "allauth.account.internal.flows.password_reset": "not used: sends reset links by email",
    "allauth.account.models": "not used: confirms email addresses",
    "allauth.headless.tokens.strategies.jwt.internal": "not used: tokens of allauth's own API",
    "allauth.idp.oidc.views": "not used: Rankloop is not an identity provider",
    "allauth.mfa.internal.flows.trust": "not used: MFA_TRUST_ENABLED is off",
    "django.conf": "reads the key",
    "django.conf.global_settings": "declares the key",
    "django.contrib.auth.base_user": Use.SESSION,
    "django.contrib.auth.tokens": Use.RESET_LINK,
    "django.contrib.auth.forms": "not used: Django's own pages",
    "django.contrib.auth.views": "not used: Django's own pages",
    "django.contrib.messages.storage.cookie": "not used: Rankloop does not use this app",
    "django.contrib.sessions.backends.base": Use.SESSION,
    "django.contrib.sessions.backends.signed_cookies": "not used: sessions are in the database",
    "django.contrib.sessions.serializers": Use.SESSION,
    "django.core.checks.security.base": "checks the key",
    "django.core.management.commands.startproject": "not used: creates projects",
    "django.core.management.utils": "not used: creates a key for a new project",
    "django.core.signing": "used by the other modules",
    "django.http.request": "not used: signed cookies",
    "django.http.response": "not used: signed cookies",
    "django.utils.crypto": "used by the other modules",
}
_MENTION = re.compile(
    r"\bSECRET_KEY\b|salted_hmac|core\.signing|core import signing|make_token|_signed_cookie"
)


def _uses(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.startswith(MODULES))
            case ast.ImportFrom(module=str(module), names=names):
                yield from (each.name for each in names if f"{module}.{each.name}".startswith(MODULES))
                yield from (each.name for each in names if each.name in NAMES)
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                yield from {name} & NAMES


def test_no_module_uses_the_key_outside_the_known_places() -> None:
    paths = [
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
    ]
    found = {str(path.relative_to(ROOT)) for path in paths if any(_uses(path))}
    assert found == set(OURS), (
        "Derive keys only with config.keys. Add a Use there and a case in test_key_rotation.py."
    )


@pytest.mark.parametrize(
    "text",
    [
        "from django.core.signing import Signer",
        "from django.core import signing",
        "import cryptography.fernet",
        "from cryptography.hazmat.primitives import hashes",
        "from django.utils.crypto import salted_hmac",
        "key = settings.SECRET_KEY",
        'key = getattr(settings, "SECRET_KEY")',
        "response.set_signed_cookie('a', 'b')",
        "token = default_token_generator.make_token(user)",
        "from django.contrib.auth.tokens import default_token_generator",
    ],
)
def test_each_way_to_use_the_key_is_recognised(text: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(text)
    assert list(_uses(tmp_path / "module.py"))


def test_uses_of_the_key_in_libraries_are_known() -> None:
    assert get_resolver().url_patterns, "all views are imported"
    packages = {"django", *(app.partition(".")[0] for app in settings.INSTALLED_APPS)} - set(PACKAGES)
    found = set()
    for name, module in list(sys.modules.items()):
        file = inspect.getsourcefile(module) if name.partition(".")[0] in packages else None
        if file is not None and _MENTION.search(Path(file).read_text(encoding="utf-8")):
            found.add(name)
    assert {"django.core.signing", "django.contrib.sessions.backends.base"} <= found
    assert found <= set(LIBRARIES), "A library uses the key in a way that nobody has checked."
