"""The configuration of all loggers, for Django, Celery, uvicorn and the training process."""

from __future__ import annotations

import logging
import logging.config
import os
import threading
from typing import Any

from config.env import BadEnvironment, env_str
from config.logs.formatters import JSONLines, ReadableLines
from config.logs.handlers import DescriptorHandler

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
# The file descriptor of the worker's log. Set for a training process, because its own output is the run's log
# (training/runs/process).
SERVICE_LOG_VARIABLE = "RANKLOOP_SERVICE_LOG_FD"
_STDERR = 2


def env_log_level(name: str) -> str:
    level = env_str(name).upper() or "INFO"
    if level not in LEVELS:
        raise BadEnvironment(f"{name}={level!r} is invalid; use one of {', '.join(LEVELS)}.")
    return level


def service_handler() -> logging.Handler:
    """Writes to the log of the service: JSON in production, text otherwise. Uvicorn's configuration
    (uvicorn.json) uses this handler before Django is loaded."""
    handler = DescriptorHandler(int(os.environ.get(SERVICE_LOG_VARIABLE, _STDERR)))
    handler.setFormatter(JSONLines() if env_str("RANKLOOP_ENV") == "production" else ReadableLines())
    return handler


def run_log_handler() -> logging.Handler:
    """Writes to the log of a training run. The run's page shows this log."""
    handler = DescriptorHandler(_STDERR)
    handler.setFormatter(ReadableLines())
    return handler


def logging_config(*, level: str) -> dict[str, Any]:
    """A dictConfig. `level` applies to Rankloop's own loggers. Libraries log nothing below WARNING, because
    their lines can contain values, such as signed URLs. Uvicorn and Celery are treated differently: they may
    also log their start and end."""
    handlers = ["service", "run_log"] if SERVICE_LOG_VARIABLE in os.environ else ["service"]
    ours = {"level": level}
    announced = {"level": "INFO" if LEVELS.index(level) < LEVELS.index("WARNING") else level}
    libraries = {"level": "WARNING" if LEVELS.index(level) < LEVELS.index("WARNING") else level}
    inherits = {"handlers": [], "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "server_errors": {"()": "config.logs.filters.HasException"},
            "task_errors": {"()": "config.logs.filters.TaskError"},
        },
        "handlers": {
            "service": {"()": "config.logs.setup.service_handler"},
            "run_log": {"()": "config.logs.setup.run_log_handler"},
        },
        "root": {"handlers": handlers, **libraries},
        "loggers": {
            **dict.fromkeys(("annotation", "training", "config", "preferences", "rankloop"), ours),
            "uvicorn": announced | inherits,
            "uvicorn.error": announced | inherits,
            # `config.logs.asgi` writes the access line, with the request ID and without the query string.
            "uvicorn.access": libraries | {"handlers": [], "propagate": False},
            "celery": announced | inherits,
            # Celery's own lines for each message and each periodic task would add 13 MB a day. Instead,
            # `config.logs.tasks` writes one line per task.
            "celery.worker.strategy": libraries,
            "celery.beat": libraries,
            "celery.app.trace": libraries | {"filters": ["task_errors"]},
            "django": libraries | inherits,
            # The access line contains the status of every response, so only tracebacks are left to log.
            "django.request": libraries | inherits | {"filters": ["server_errors"]},
            "django.server": libraries | inherits,
            # Scanners constantly send requests with arbitrary host names. The access line contains the status
            # of such a request, which is 400.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
        },
    }


def configure(config: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG, called by `django.setup()`."""
    from django.conf import settings

    from config.logs import sentry

    logging.config.dictConfig(config)
    threading.excepthook = _log_thread_error
    logging.captureWarnings(True)
    if settings.SENTRY_DSN:
        sentry.start(
            dsn=settings.SENTRY_DSN,
            environment=settings.SENTRY_ENVIRONMENT,
            release=settings.SENTRY_RELEASE,
        )


def _log_thread_error(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread else "?"
    logging.getLogger("rankloop.threads").error(
        "The thread %s ended with an error.", name, exc_info=arguments.exc_value
    )
