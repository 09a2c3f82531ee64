"""Limits on the duration of statements and on their parallel workers, for each kind of process. Postgres
cancels a statement that exceeds a time limit, and the response asks the client to try again
(config/database/errors.py).

The limits are sent when a connection opens. Options in DATABASE_URL override them.
"""

from __future__ import annotations

from config.env import BadEnvironment

# With this setting, Postgres checks during a query whether its client is still connected. Without the check,
# the query of a killed process would run to completion.
_CHECK = {"client_connection_check_interval": "2s"}
# Each parallel worker of a query is a new Postgres process with the priority of the server. The parallel
# workers of reports competed with the processes that serve annotators: during 20 reports, the 95th percentile
# of the time for a claim was 4.6 times as high as without background work (docs/measurements.md).
_ONE_PROCESS = {"max_parallel_workers_per_gather": "0", "max_parallel_maintenance_workers": "0"}
LIMITS: dict[str, dict[str, str]] = {
    # An annotator's request takes milliseconds. The limits keep a thread from waiting forever.
    "web": {
        "statement_timeout": "30s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
        **_CHECK,
    },
    "heavy": {"statement_timeout": "10min", "lock_timeout": "1min", **_CHECK, **_ONE_PROCESS},
    # An import holds its project's content lock for one batch at a time.
    "worker": {"statement_timeout": "15min", "lock_timeout": "5min", **_CHECK, **_ONE_PROCESS},
    "training": {"statement_timeout": "15min", "lock_timeout": "5min", **_CHECK, **_ONE_PROCESS},
    # A command, such as a migration or a restore, takes as long as it needs.
    "command": {},
}


def connection_options(process: str) -> str:
    """The limits of a process as libpq's `options`. Raises BadEnvironment if the kind of process is
    unknown."""
    if process not in LIMITS:
        raise BadEnvironment(f"RANKLOOP_PROCESS={process!r} is invalid; use one of {', '.join(LIMITS)}.")
    return " ".join(f"-c {name}={value}" for name, value in LIMITS[process].items())
