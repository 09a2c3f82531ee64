"""A browser that can log in, and a function that computes the codes of an authenticator app."""

from __future__ import annotations

import base64
import hmac
import struct
from typing import Any

from rest_framework.test import APIClient

from tests.conftest import PASSWORD

LOGIN, CODE, ME = (f"/api/v1/auth/{name}" for name in ("login", "login/code", "me"))


def code_at(secret: str, seconds: float) -> str:
    """Returns the code that an authenticator app computes: RFC 6238 with SHA-1, six digits and 30-second
    steps."""
    counter = struct.pack(">Q", int(seconds) // 30)
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4]) & 0x7FFFFFFF) % 1_000_000:06}"


class Browser:
    def __init__(self) -> None:
        self.api = APIClient(enforce_csrf_checks=True)

    def post(self, url: str, **body: Any) -> Any:
        self.api.get(ME)
        return self.api.post(url, body, headers={"X-CSRFToken": self.api.cookies["csrftoken"].value})

    def log_in(self, username: str = "alice") -> int:
        return int(self.post(LOGIN, username=username, password=PASSWORD).status_code)

    def in_(self) -> bool:
        return bool(self.api.get(ME).status_code == 200)
