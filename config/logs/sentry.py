"""Error reports to a Sentry server.

Every error is logged, so Sentry's logging integration reports every error. Sentry's other integrations are
off: they would add requests, SQL and breadcrumbs, which can contain prompts, answers and secrets.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from config.env import BadEnvironment
from config.logs.formatters import fields_of, message_of
from config.logs.messages import HIDDEN, safe_message
from config.logs.tracebacks import chain

_FLUSH_SECONDS = 3.0
# Parts of an event that can contain secrets. No enabled integration sets them; `before_send` removes them in
# case a later version does.
_REMOVED = ("request", "breadcrumbs", "extra", "user", "modules")


def start(*, dsn: str, environment: str, release: str) -> None:
    # Imported here, because the import takes 0.1 s and most installations have no Sentry server.
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.dedupe import DedupeIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration
    from sentry_sdk.utils import BadDsn

    try:
        sentry_sdk.init(
            dsn=dsn,
            environment=environment,
            release=release,
            send_default_pii=False,
            include_local_variables=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[
                LoggingIntegration(level=None, event_level=logging.ERROR),
                DedupeIntegration(),
                AtexitIntegration(callback=lambda pending, timeout: None),
            ],
            before_send=before_send,  # type: ignore[arg-type]
        )
    except BadDsn:
        # The message of BadDsn contains the DSN, which is a secret.
        raise BadEnvironment("SENTRY_DSN is not a valid DSN. Copy it from the project's settings.") from None


def flush() -> None:
    """Sends pending reports. A process that ends with os._exit() must call this function first."""
    if "sentry_sdk" in sys.modules:
        sys.modules["sentry_sdk"].flush(_FLUSH_SECONDS)


def before_send(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Removes values from exceptions and adds the fields of the log line as tags."""
    for name in _REMOVED:
        event.pop(name, None)
    record = hint.get("log_record")
    fields = fields_of(record) if isinstance(record, logging.LogRecord) else {}
    event["tags"] = {name: str(value) for name, value in fields.items()}
    if "path" in fields:
        event["request"] = {"method": fields.get("method", ""), "url": fields["path"]}
    if isinstance(record, logging.LogRecord):
        event["logentry"] = {"message": message_of(record)}
    error = (hint.get("exc_info") or (None, None, None))[1]
    # A chain can contain several exceptions of the same type, so safe messages are looked up by type and
    # message.
    safe = _safe_messages(error) if error is not None else {}
    for value in (event.get("exception") or {}).get("values", ()):
        value["value"] = safe.get((value.get("type"), value.get("value")), HIDDEN)
        for frame in (value.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
    return event


def _safe_messages(error: BaseException) -> dict[tuple[str, str], str]:
    found = {}
    for each, _ in chain(error):
        found[type(each).__name__, str(each)] = safe_message(each)
        if isinstance(each, BaseExceptionGroup):
            for inner in each.exceptions:
                found |= _safe_messages(inner)
    return found
