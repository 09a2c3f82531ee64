"""Measure the processor time that logging adds to an answer.

    .venv/bin/python -m benchmarks.log_cost [--other /path/to/checkout] [--pairs 40] [--answers 160]

Runs one stack of this checkout and one of the other checkout, which is a version of Rankloop without logs.
Without `--other`, the second stack is the same checkout with RANKLOOP_LOG_LEVEL=ERROR. In each pair,
annotators submit `--answers` answers to both stacks, one after the other and in alternating order. Short
blocks are interleaved, because other programs on the machine change the speed of its processors.

A row shows each stack's processor seconds per 1,000 answers, once for the processes that write and handle log
lines (web and log writer), and once for all processes, including Postgres and its background work. The last
lines show the mean difference with its 95 % interval (Student's t) and the median. Target: the difference is
at most 3 %.
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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from scipy.stats import t as students_t

from benchmarks import requests as bench
from training.simulation.annotators import ApiClient

CONFIDENCE = 0.95
PROJECT = "cost"
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

    def fill(self, answers: int) -> None:
        bench.ROOT = self.root
        bench.fill(self.state, PROJECT, 1, answers, self.file)
        members = [["create_user", f"annotator-{n}", "--project", PROJECT] for n in range(self.annotators)]
        # All commands run in one process, because each new process takes seconds to start.
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
        self.tokens = done.stdout.split()

    def processor_seconds(self) -> dict[str, float]:
        """Processor seconds of the supervisor and of all its running descendants, by group of processes."""
        found = dict.fromkeys(GROUPS, 0.0)
        parent = psutil.Process(self.stack.pid)
        for process in (parent, *parent.children(recursive=True)):
            used = process.cpu_times()
            total = used.user + used.system + used.children_user + used.children_system
            found["all"] += total
            if any(part in " ".join(process.cmdline()) for part in ("uvicorn", "log_writer")):
                found["web"] += total
        return found

    def block(self, answers: int) -> dict[str, float]:
        """Submit a block of answers. Return the processor seconds per 1,000 answers, by group of
        processes."""
        each = answers // self.annotators
        before = self.processor_seconds()
        with ThreadPoolExecutor(self.annotators) as threads:
            list(threads.map(lambda token: self._answer(token, each), self.tokens))
        after = self.processor_seconds()
        return {group: (after[group] - before[group]) / (each * self.annotators) * 1000 for group in GROUPS}

    def _answer(self, token: str, answers: int) -> None:
        client = ApiClient(self.url, token)
        for _ in range(answers):
            _, given = client.call("POST", f"/api/v1/projects/{PROJECT}/assignments/next", {})
            tiers = [[response["id"]] for response in given["responses"]]
            answer = {"token": given["token"], "tiers": tiers, "touched": True, "duration_ms": 1000}
            status, body = client.call("POST", f"/api/v1/assignments/{given['id']}/submit", answer)
            if status != 201:
                raise SystemExit(f"submit answered {status}: {body}")
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--other", type=Path)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--answers", type=int, default=160)
    parser.add_argument("--annotators", type=int, default=16)
    options = parser.parse_args()
    print("pair     web: other    this              all: other    this")
    differences: dict[str, list[float]] = {group: [] for group in GROUPS}
    for order in (("other", "this"), ("this", "other")):
        for pair, found in enumerate(pairs(options, order), start=1):
            cells = []
            for group in GROUPS:
                other, this = found["other"][group], found["this"][group]
                differences[group].append((this - other) / other * 100)
                cells.append(f"{other:10.2f} {this:7.2f} {differences[group][-1]:+6.1f} %")
            print(f"{pair:4d}  {'    '.join(cells)}", flush=True)
    for group, values in differences.items():
        half = students_t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
        half *= statistics.stdev(values) / math.sqrt(len(values))
        mean, median = statistics.mean(values), statistics.median(values)
        print(f"{group}: mean {mean:+.1f} % ± {half:.1f} %, median {median:+.1f} %")


def pairs(options: argparse.Namespace, order: Sequence[str]) -> Iterator[dict[str, dict[str, float]]]:
    """Yield the measurements of each pair of blocks, with the stacks started in this `order`. The stack that
    is started first is faster: with the same code in both stacks, the second stack took 5 % ± 4 % more
    processor time. Half of the pairs are therefore measured with the stacks started in the other order."""
    this = bench.ROOT
    roots = {"this": this, "other": (options.other or this).resolve()}
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    home.chmod(0o711)  # if root starts Postgres, it runs as `nobody`, which needs access to this folder
    sites: dict[str, Site] = {}
    try:
        for name in order:
            os.environ["RANKLOOP_LOG_LEVEL"] = "INFO" if options.other or name == "this" else "ERROR"
            sites[name] = Site(roots[name], home / name, options.annotators)
            sites[name].fill((options.pairs // 2 + 1) * options.answers)
        for name in order:
            sites[name].block(options.answers)  # warms up the stack
        for pair in range(options.pairs // 2):
            names = order if pair % 2 else order[::-1]
            yield {name: sites[name].block(options.answers) for name in names}
    finally:
        bench.ROOT = this
        for site in sites.values():
            site.stack.terminate()
            site.stack.wait()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
