"""Measure the processor time that logging adds to an answer, against another checkout.

    .venv/bin/python -m benchmarks.log_cost --other /path/to/checkout [--pairs 10] [--answers 600]

Runs one stack of this checkout and one of the other checkout, which is a version of Rankloop without logs. In
each pair, both stacks drain a project of `--answers` tasks, one after the other and in alternating order. A
row shows the processor time of a stack per 1,000 answers, once for the processes that write and handle log
lines (web and log writer), and once for all processes, including Postgres and its background work. The last
lines show the mean difference with its 95 % interval (Student's t). Target: the difference is at most 3 %.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from scipy.stats import t as students_t

from benchmarks import requests as bench

CONFIDENCE = 0.95
SETTLE_SECONDS = 1.0
GROUPS = ("web", "all")


class Site:
    def __init__(self, root: Path, home: Path, annotators: int) -> None:
        self.state = home / "state"
        self.root = root
        home.mkdir(mode=0o711)
        bench.ROOT = root  # the checkout whose programs are started
        self.stack, self.url = bench.start_stack(self.state, home / "output")
        self.file = home / "responses.jsonl"
        self.tokens: list[str] = []
        self.annotators = annotators

    def fill(self, slug: str, answers: int) -> list[str]:
        bench.ROOT = self.root
        bench.fill(self.state, slug, 1, answers, self.file)
        members = [["create_user", f"{slug}-{n}", "--project", slug] for n in range(self.annotators)]
        # One process for all commands, because each command takes seconds to start.
        program = (
            "import json, sys; from io import StringIO; from django.core.management import call_command\n"
            "for arguments in json.loads(sys.argv[1]):\n"
            "    out = StringIO(); call_command(*arguments, '--json', stdout=out)\n"
            "    print(json.loads(out.getvalue().splitlines()[-1])['token'])"
        )
        code = f"import django; django.setup()\n{program}"
        running = json.loads((self.state / "running.json").read_text())
        variables = {"RANKLOOP_STATE": str(self.state), "DJANGO_SETTINGS_MODULE": "config.settings"}
        variables |= {"DATABASE_URL": running["database_url"], "BROKER_URL": running["broker_url"]}
        done = subprocess.run(
            [sys.executable, "-c", code, json.dumps(members)],
            cwd=self.root,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    def processor_seconds(self) -> dict[str, float]:
        """Of the supervisor and all of its descendants that are running now."""
        found = dict.fromkeys(GROUPS, 0.0)
        parent = psutil.Process(self.stack.pid)
        for process in (parent, *parent.children(recursive=True)):
            used = process.cpu_times()
            total = used.user + used.system + used.children_user + used.children_system
            found["all"] += total
            if any(part in " ".join(process.cmdline()) for part in ("uvicorn", "log_writer")):
                found["web"] += total
        return found

    def drained(self, slug: str, answers: int) -> dict[str, float]:
        """Processor seconds per 1,000 answers, by group of processes."""
        tokens = self.fill(slug, answers)
        time.sleep(SETTLE_SECONDS)
        before = self.processor_seconds()
        _, submits, _ = bench.drain(self.url, slug, tokens, 0.0)
        time.sleep(SETTLE_SECONDS)  # the log writer writes the last lines
        after = self.processor_seconds()
        return {group: (after[group] - before[group]) / len(submits) * 1000 for group in GROUPS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--answers", type=int, default=600)
    parser.add_argument("--annotators", type=int, default=16)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    home.chmod(0o711)  # Postgres started by root runs as `nobody`, which needs access to this folder
    sites: dict[str, Site] = {}
    try:
        for name, root in (("other", options.other.resolve()), ("this", bench.ROOT)):
            sites[name] = Site(root, home / name, options.annotators)
        print("pair     web: other    this              all: other    this")
        differences: dict[str, list[float]] = {group: [] for group in GROUPS}
        for pair in range(options.pairs + 1):
            names = list(sites) if pair % 2 else list(reversed(sites))
            found = {name: sites[name].drained(f"pair-{pair}", options.answers) for name in names}
            if pair == 0:
                continue  # warms up both stacks
            cells = []
            for group in GROUPS:
                other, this = found["other"][group], found["this"][group]
                differences[group].append((this - other) / other * 100)
                cells.append(f"{other:10.2f} {this:7.2f} {differences[group][-1]:+6.1f} %")
            print(f"{pair:4d}  {'    '.join(cells)}", flush=True)
        for group, values in differences.items():
            half = students_t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
            half *= statistics.stdev(values) / math.sqrt(len(values))
            print(f"{group}: mean difference {statistics.mean(values):+.1f} % ± {half:.1f} %")
    finally:
        for site in sites.values():
            site.stack.terminate()
            site.stack.wait()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
