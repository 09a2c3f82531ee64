"""Measure the time and memory needed to freeze rankings in a temporary Postgres and export them in every
format.

    .venv/bin/python -m benchmarks.exports [--rows 50000] [--large 1000000] [--formats NAME …]

First part: the benchmark imports `--rows` comparisons by four annotators. The comparisons have the same
length as those in hh-rlhf (three turns, two responses). The benchmark freezes the comparisons with each
aggregation and exports them in every format. Second part: the benchmark writes a snapshot of `--large` such
rankings without a database and exports the snapshot.

Each line shows the time and the growth of the process's memory (VmHWM, reset before each line). Targets:
50,000 comparisons in 5 s, and a million comparisons with less than 300 MB more memory than the idle process
uses. For comparison, Label Studio 1.23.2 took 33.5 to 44.8 s for 10,000 pairwise tasks on a machine of the
same size, and held all tasks in memory.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from embedded.servers import Servers
from embedded.state import StateFolder

MEGABYTE = 2**20
LARGE_FORMATS = ("trl_preference", "trl_preference_parquet", "ranking", "csv", "dataset")
PEOPLE = ("ada", "ben", "cleo", "dan")
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def comparison(number: int, chance: random.Random) -> dict[str, Any]:
    """Return a row of about 1,500 characters, as in hh-rlhf's helpful-base. Each group of four consecutive
    rows contains comparisons of the same responses by four different annotators."""
    of = number // len(PEOPLE)
    words = [format(value, "x") for value in random.Random(of).choices(range(2**24), k=210)]

    def text(start: int, end: int) -> str:
        return " ".join(words[start:end])

    return {
        "messages": [
            {"role": "user", "content": f"{of} {text(0, 20)}"},
            {"role": "assistant", "content": text(20, 80)},
            {"role": "user", "content": text(80, 100)},
        ],
        "responses": [
            {"text": text(100, 155), "model": "model-a"},
            {"text": text(155, 210), "model": "model-b"},
        ],
        "tiers": [[0], [1]] if chance.random() < 0.7 else [[1], [0]],
        "strength": chance.randint(1, 3),
        "annotator": PEOPLE[number % len(PEOPLE)],
        "ratings": {"0": {"help": chance.randint(0, 4)}, "1": {"help": chance.randint(0, 4)}},
    }


def snapshot_rows(count: int) -> Iterator[dict[str, Any]]:
    """Rows in the form that a freeze produces, for writing a snapshot file without a database."""
    from preferences.formats.snapshot_parquet import BEFORE

    chance = random.Random(0)
    for number in range(count):
        row = comparison(number, chance)
        of = number // len(PEOPLE)
        ids = [str(UUID(int=2 * of + side)) for side in range(2)]
        yield {
            **BEFORE,
            "ranking_id": str(UUID(int=number)),
            "task_id": str(UUID(int=of)),
            "prompt_id": str(UUID(int=of)),
            "prompt_hash": format(of, "064x"),
            "split": "train",
            "messages": row["messages"],
            "responses": [
                {"id": id, **response, "sampling": "{}", "metadata": "{}"}
                for id, response in zip(ids, row["responses"], strict=True)
            ],
            "tiers": row["tiers"],
            "strength": row["strength"],
            "annotator": row["annotator"],
            "source": "import",
            "round": 0,
            "not_rankable": False,
            "ratings": json.dumps({ids[int(key)]: value for key, value in row["ratings"].items()}),
            "flags": "{}",
            "comment": "",
            "rewrite": None,
            "touched": True,
            "duration_ms": 1000,
            "weight": 1.0,
            "created_at": MOMENT,
        }


def memory(field: str) -> float:
    """VmRSS or VmHWM of this process, in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def measured(name: str, rows: int, work: Callable[[], int]) -> None:
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    started, worked = time.perf_counter(), time.process_time()
    size = work()
    seconds, worked = time.perf_counter() - started, time.process_time() - worked
    above = memory("VmHWM") - before
    times = f"{seconds:9.1f}{worked:10.1f}{rows / seconds:12,.0f}"
    print(f"{name:34}{times}{size / MEGABYTE:10,.0f}{max(above, 0):14,.0f}", flush=True)


def heading(text: str) -> None:
    print(f"\n{text}, load {os.getloadavg()[0]:.1f}")
    print(f"{'':34}{'seconds':>9}{'Python s':>10}{'rows/s':>12}{'MB out':>10}{'MB over idle':>14}")


def database_part(rows: int, formats: tuple[str, ...]) -> None:
    from django.core.management import call_command

    from annotation.content.importing.imports import import_file
    from annotation.datasets.exports import export_snapshot
    from annotation.datasets.snapshots import freeze_snapshot
    from annotation.models import Project

    call_command("create_project", "bench", stdout=io.StringIO())
    project = Project.objects.get(slug="bench")
    chance = random.Random(0)
    lines = b"\n".join(json.dumps(comparison(number, chance)).encode() for number in range(rows))
    import_file(project=project, file=io.BytesIO(lines))
    del lines
    heading(f"{rows:,} rankings in Postgres")
    for aggregation in ("every", "majority", "weighted"):
        measured(
            f"freeze, {aggregation}",
            rows,
            lambda how=aggregation: (
                freeze_snapshot(project=project, name=how, selection={"aggregation": how}).rows
            ),
        )
    snapshot = project.snapshots.get(name="every")
    for format in formats:
        options = {"threshold": "2"} if format == "trl_unpaired" else {}
        measured(
            f"export {format}",
            rows,
            lambda name=format, given=options: sum(
                map(len, export_snapshot(snapshot=snapshot, format=name, options=given))
            ),
        )


def large_part(rows: int, folder: Path, formats: tuple[str, ...]) -> None:
    from preferences.formats.catalog import EXPORT_FORMATS
    from preferences.formats.export_format import SnapshotFile
    from preferences.formats.snapshot_parquet import write_rankings

    path = folder / "rankings.parquet"
    heading(f"A snapshot of {rows:,} rankings, without a database")
    measured(
        "write the snapshot", rows, lambda: write_rankings(path, snapshot_rows(rows)) and path.stat().st_size
    )
    card = {
        "name": "large",
        "project": "bench",
        "file": path.name,
        "frozen_at": "",
        "sha256": "",
        "selection": {},
        "rankings": rows,
        "comparisons": rows,
        "ties": 0,
        "with_strength": rows,
        "responses_per_ranking": {"2": rows},
        "splits": {"train": rows},
        "sources": {"import": rows},
        "rounds": {"0": rows},
        "responses_by_model": {"model-a": rows, "model-b": rows},
        "ratings": {"help": {"count": 2 * rows, "lowest": 0, "highest": 4}},
    }
    for format in formats:
        options = {"threshold": 2.0} if format == "trl_unpaired" else {}
        writer = EXPORT_FORMATS[format].write
        measured(
            f"export {format}",
            rows,
            lambda write=writer, given=options: sum(map(len, write(SnapshotFile(path, card), given))),
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=50_000, help="0 skips the first part")
    parser.add_argument("--large", type=int, default=1_000_000, help="0 skips the second part")
    parser.add_argument("--formats", nargs="+")
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rankloop-bench-"))
    home.chmod(0o711)  # if root starts Postgres, it runs as `nobody`, which needs access to this folder
    for name in ("DATABASE_URL", "BROKER_URL"):
        os.environ.pop(name, None)
    servers = Servers(StateFolder(home), durable=False)
    try:
        servers.start()
        os.environ.update(servers.environment, RANKLOOP_STATE=str(home / "state"))
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
        import django
        from django.core.management import call_command

        django.setup()
        from preferences.formats.catalog import EXPORT_FORMATS

        if options.rows:
            call_command("migrate", verbosity=0)
            database_part(options.rows, tuple(options.formats or EXPORT_FORMATS))
        if options.large:
            large_part(options.large, home, tuple(options.formats or LARGE_FORMATS))
    finally:
        servers.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
