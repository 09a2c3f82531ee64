"""Time limits of statements and lock waits, by the work of the process. A statement that runs into a limit is
cancelled by Postgres, and the client is told to try again (config/database/errors.py).

The limits are sent when a connection opens. Options in DATABASE_URL override them.
"""

from __future__ import annotations

from config.env import BadEnvironment

# Postgres notices a closed connection only when it sends a result, unless it checks. Without the check, the
# query of a killed process continues to its end.
_CHECK = {"client_connection_check_interval": "2s"}
LIMITS: dict[str, dict[str, str]] = {
    # A request of an annotator takes milliseconds. The limits keep a thread from waiting for ever.
    "web": {
        "statement_timeout": "30s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
        **_CHECK,
    },
    "heavy": {"statement_timeout": "10min", "lock_timeout": "1min", **_CHECK},
    # An import holds its project's content lock for one batch at a time.
    "worker": {"statement_timeout": "15min", "lock_timeout": "5min", **_CHECK},
    "training": {"statement_timeout": "15min", "lock_timeout": "5min", **_CHECK},
    # A command, such as a migration or a restore, takes as long as it needs.
    "command": {},
}


def connection_options(process: str) -> str:
    """The limits of a process as libpq's `options`. Raises BadEnvironment if the kind of process is
    unknown."""
    if process not in LIMITS:
        raise BadEnvironment(f"RANKLOOP_PROCESS={process!r} is invalid; use one of {', '.join(LIMITS)}.")
    return " ".join(f"-c {name}={value}" for name, value in LIMITS[process].items())
