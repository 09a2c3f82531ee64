"""Measure how long `scripts/up` takes to become ready if everything is already installed.

    .venv/bin/python -m benchmarks.startup [--starts 5]

No start includes the demo. The first start creates a temporary state folder. The following starts are
warm starts. Each start is measured from the command until the address is printed. The stack is then stopped
with Ctrl-C. The target for a warm start is 5 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY = "ready at http"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=5)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    home.chmod(0o711)  # if root starts Postgres, it runs as `nobody`, which needs access to this folder
    try:
        first = seconds_until_ready(home)
        warm = sorted(seconds_until_ready(home) for _ in range(options.starts))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print("| start | seconds |\n|---|---|")
    print(f"| first, creates the databases | {first:.1f} |")
    print(f"| warm, median of {len(warm)} | {statistics.median(warm):.1f} |")
    print(f"| warm, slowest | {warm[-1]:.1f} |")


def seconds_until_ready(home: Path) -> float:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = time.perf_counter()
    stack = subprocess.Popen(
        [ROOT / "scripts" / "up", "--no-demo"],
        env=os.environ | {"RANKLOOP_STATE": str(home / "state"), "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert stack.stdout is not None
    said = []
    try:
        for line in stack.stdout:
            said.append(line)
            if READY in line:
                return time.perf_counter() - started
        raise SystemExit("The stack stopped before it was ready:\n" + "".join(said))
    finally:
        os.killpg(stack.pid, signal.SIGINT)
        stack.wait(60)


if __name__ == "__main__":
    main()
