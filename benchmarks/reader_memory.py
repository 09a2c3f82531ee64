"""Measure the memory used by the import's file reader, which must not grow with the size of the file.

    .venv/bin/python -m benchmarks.reader_memory [--rows 1000000 10000000] [--kinds jsonl csv parquet]

For each kind and size, a process reads a file of pairs with the import's reader and discards each record. The
table shows the peak memory of this process and the number of rows per second.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

KINDS = ("jsonl", "csv", "parquet")
ROW_GROUP = 50_000
CHOSEN, REJECTED = "The capital is a good answer. " * 4, "I would rather not say. " * 4


def rows(count: int) -> Iterator[dict[str, str]]:
    for number in range(count):
        yield {"prompt": f"Question {number}?", "chosen": f"{CHOSEN}{number}", "rejected": REJECTED}


def write(kind: str, path: Path, count: int) -> None:
    if kind == "jsonl":
        with path.open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows(count))
    elif kind == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["prompt", "chosen", "rejected"])
            writer.writeheader()
            writer.writerows(rows(count))
    else:
        write_parquet(path, count)


def write_parquet(path: Path, count: int) -> None:
    import itertools

    import pyarrow as pa
    import pyarrow.parquet as pq

    source = rows(count)
    schema = pa.schema([(name, pa.string()) for name in ("prompt", "chosen", "rejected")])
    with pq.ParquetWriter(path, schema) as writer:
        while batch := list(itertools.islice(source, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(batch, schema))


def read(path: Path) -> None:
    """Read the file and print the number of records, the seconds and the peak memory in MiB as JSON."""
    from preferences.formats.recognition import read_records

    began, records = time.perf_counter(), 0
    with path.open("rb") as stream:
        for line in read_records(stream)[1]:
            records += len(line.records)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([records, time.perf_counter() - began, peak]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read)
        return
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    try:
        print(f"{'kind':10}{'rows':>12}{'MiB file':>10}{'rows/s':>10}{'peak MiB':>10}")
        for kind in options.kinds:
            for count in options.rows:
                path = home / f"rows.{kind}"
                write(kind, path, count)
                argv = [sys.executable, "-m", "benchmarks.reader_memory", "--read", str(path)]
                done = subprocess.run(argv, capture_output=True, text=True, check=True)
                records, seconds, peak = json.loads(done.stdout)
                if records != count:
                    raise SystemExit(f"{kind}: {records} records were read from a file with {count} rows")
                size = path.stat().st_size / 2**20
                print(f"{kind:10}{count:12,}{size:10.0f}{count / seconds:10,.0f}{peak:10.0f}", flush=True)
                path.unlink()
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
