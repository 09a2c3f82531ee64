from __future__ import annotations

import hashlib

from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView


class _FailedLogins(SimpleRateThrottle):
    duration: int
    """Counts failures only, in the shared cache: logging in often is fine, guessing is not."""

    def throttle_success(self) -> bool:
        return True

    def record_failure(self, request: Request, view: APIView) -> None:
        if self.allow_request(request, view):
            self.history.insert(0, self.now)
            self.cache.set(self.key, self.history, self.duration)

    def _key(self, request: Request, *parts: str) -> str:
        # Behind a unix socket there is no address; then all share one count.
        parts = (self.get_ident(request) or "", *parts)
        return f"{type(self).__name__}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}"


class FailedLoginsOfName(_FailedLogins):
    """Against guessing one account's password. By name and address: nobody can lock out somebody else."""

    rate = "10/min"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        name = request.data.get("username", "") if isinstance(request.data, dict) else ""
        return self._key(request, str(name).casefold())


class FailedLoginsOfAddress(_FailedLogins):
    """Against trying one password on many accounts."""

    rate = "100/min"

    def get_cache_key(self, request: Request, view: APIView) -> str:
        return self._key(request)
