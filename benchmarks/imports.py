"""Measure the speed of imports into a temporary embedded Postgres.

    .venv/bin/python -m benchmarks.imports [--rows 160000] [--durable]

The comparisons consist of random words and have the same length as those in hh-rlhf. The numbers of turns and
characters are distributed as in the real files (deciles of all 5,008 rows of the six helpful files).

The first line of the output shows an import. The second line shows a repeated import of the same file, which
must change nothing. The third line shows a dry run of a new file. Each line shows the elapsed time and the
processor times of the reading process and of Postgres. If two cores are idle, the longer of the two processor
times determines the elapsed time. Target: 160,000 comparisons in 60 s. With `--durable`, Postgres waits for
the disk at each commit, as under `scripts/up`.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import random
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from embedded.servers import Servers
from embedded.state import StateFolder

# The percentiles at which the values below were measured in the real files. Values between two percentiles
# are interpolated linearly.
PERCENTILES = (0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)
TURNS = (1, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4, 6)
HUMAN_CHARACTERS = (1, 24, 31, 37, 43, 50, 58, 70, 87, 122, 168, 301)
ASSISTANT_CHARACTERS = (0, 60, 105, 155, 210, 272, 343, 433, 564, 797, 1004, 1294)
WORD_LETTERS = (2, 3, 4, 4, 5, 6, 7, 9)
VOCABULARY = 20_000
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Writer:
    """Dialogues of random words; the same seed produces the same file."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        letters = "etaoinshrdlcumwfgypbvk"
        self._words = [
            "".join(self._random.choices(letters, k=self._random.choice(WORD_LETTERS)))
            for _ in range(VOCABULARY)
        ]

    def write(self, path: Path, rows: int) -> None:
        with gzip.open(path, "wt", compresslevel=1) as file:
            for _ in range(rows):
                file.write(json.dumps(self._row()) + "\n")

    def _row(self) -> dict[str, str]:
        prompt = ""
        for turn in range(round(self._drawn(TURNS))):
            if turn:
                prompt += f" {self._text(ASSISTANT_CHARACTERS)}"
            prompt += f"\n\nHuman: {self._text(HUMAN_CHARACTERS)}\n\nAssistant:"
        return {side: f"{prompt} {self._text(ASSISTANT_CHARACTERS)}" for side in ("chosen", "rejected")}

    def _text(self, sizes: tuple[int, ...]) -> str:
        wanted, words, length = round(self._drawn(sizes)), [], 0
        while length < wanted:
            words.append(self._random.choice(self._words))
            length += len(words[-1]) + 1
        return " ".join(words)[:wanted] or "a"

    def _drawn(self, sizes: tuple[int, ...]) -> float:
        at = self._random.uniform(0, PERCENTILES[-1])
        place = next(i for i in range(1, len(PERCENTILES)) if at <= PERCENTILES[i])
        low, high = PERCENTILES[place - 1], PERCENTILES[place]
        return sizes[place - 1] + (sizes[place] - sizes[place - 1]) * (at - low) / (high - low)


def postgres_seconds(data: Path) -> float:
    """Processor time of all processes of this Postgres, including those that have exited."""
    pid = (data / "postmaster.pid").read_text().split()[0]
    total = 0.0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if entry.name == pid:
                total += sum(int(field) for field in fields[11:15])
            elif fields[1] == pid:
                total += sum(int(field) for field in fields[11:13])
    return total / CLOCK_TICKS


def measure(servers: Servers, file: Path, slug: str, **options: Any) -> dict[str, Any]:
    from annotation.content.importing.imports import import_file
    from annotation.models import Project

    data = servers.state.postgres.resolve() / "data"
    database, own, started = postgres_seconds(data), time.process_time(), time.perf_counter()
    report = import_file(project=Project.objects.get(slug=slug), file=file, **options)
    return {
        "seconds": time.perf_counter() - started,
        "python": time.process_time() - own,
        "postgres": postgres_seconds(data) - database,
        "report": report,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=160_000)
    parser.add_argument("--durable", action="store_true")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rankloop-bench-"))
    home.chmod(0o711)  # if root starts Postgres, it runs as `nobody`, which needs access to this folder
    for name in ("DATABASE_URL", "BROKER_URL"):
        os.environ.pop(name, None)
    servers = Servers(StateFolder(home), durable=options.durable)
    try:
        servers.start()
        os.environ.update(servers.environment, RANKLOOP_STATE=str(home / "state"))
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        call_command("create_project", "bench", stdout=io.StringIO())
        files = [home / "first.jsonl.gz", home / "second.jsonl.gz"]
        for seed, file in enumerate(files):
            Writer(seed).write(file, options.rows)
        size, load = files[0].stat().st_size / 2**20, os.getloadavg()[0]
        print(f"{options.rows:,} rows, {size:.0f} MiB compressed, load {load:.1f}")
        headings = ("seconds", "rows/s", "Python s", "Postgres s", "rankings", "unchanged")
        print(f"{'':16}" + "".join(f"{heading:>12}" for heading in headings))
        for name, file, settings in (
            ("import", files[0], {}),
            ("same file again", files[0], {}),
            ("dry run", files[1], {"dry_run": True}),
        ):
            row = measure(servers, file, "bench", **settings)
            rate, report = options.rows / row["seconds"], row["report"]
            print(
                f"{name:16}{row['seconds']:12.1f}{rate:12,.0f}{row['python']:12.1f}{row['postgres']:12.1f}"
                f"{report.rankings:12,}{report.unchanged:12,}",
                flush=True,
            )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak memory of the reading process: {peak:.0f} MiB")
    finally:
        servers.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
