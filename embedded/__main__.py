"""`python -m embedded up` runs everything until Ctrl-C. `scripts/up` sets up the environment and runs this
command."""

from __future__ import annotations

import argparse
import os
import sys

from embedded.processes import ServerError
from embedded.stack import default_state
from embedded.state import StateFolder, StateInUse
from embedded.supervisor import Supervisor

_DEFAULT_PORT = 8000
_HIGHEST_PORT = 65535


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m embedded", description=__doc__)
    parser.add_argument("command", choices=["up"])
    parser.add_argument(
        "--no-demo", action="store_true", help="do not create the demo project on the first start"
    )
    arguments = parser.parse_args()
    state = default_state()
    try:
        with state.lock():
            Supervisor(state, port=_port(), demo=not arguments.no_demo).run()
    except StateInUse:
        return _say_who_runs(state)
    except ServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _port() -> int:
    """The environment variable PORT; 0 selects any free port."""
    raw = os.environ.get("PORT", "").strip() or str(_DEFAULT_PORT)
    if not raw.isdecimal() or int(raw) > _HIGHEST_PORT:
        raise ServerError(f"PORT={raw!r} is not a port number (0 to {_HIGHEST_PORT}).")
    return int(raw)


def _say_who_runs(state: StateFolder) -> int:
    running = state.running()
    if running is not None and running.kind == "supervisor":
        sys.stdout.write(
            f"Rankloop is already running at {running.address} (process {running.pid}, {state.path}).\n"
        )
        return 0
    who = f"manage.py (process {running.pid})" if running is not None else "a process that is still starting"
    sys.stderr.write(f"{state.path} is in use by {who}. Try again when that process has ended.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
