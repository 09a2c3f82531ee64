"""Measure generation and training on a GPU, in at most 10 minutes.

    python -m benchmarks.gpu [--shape half-b 7b] [--out gpu.json]
    python -m benchmarks.gpu --device cpu --shape tiny          runs every section in seconds

Prints a Markdown table, and writes the same figures as JSON. The benchmark needs torch, transformers, peft
and pydantic in any recent version. It needs neither network access nor Django: the models have random
weights, which are created on the device. `half-b` has the shape of Qwen2.5-0.5B, and all its weights are
trained. `7b` has the shape of Qwen2.5-7B, and only LoRA adapters are trained. Both models compute in
bfloat16.

- `machine`: the FLOP/s of large bf16 matrix products, and the bandwidth of a copy. The other sections are
  compared with these two limits.
- `rollouts`: generated tokens per second, compared with transformers' `generate`, which takes turns with our
  decoding on the same model and prompts. The bandwidth limit is the generation speed of a device
  that spends time only on reading weights, keys and values (`rollouts.seconds_at_bandwidth`).
- `reward model`: a training step on rankings of four responses.
- `ppo`: a whole step (rollout and update), and its update alone.
- `cuda graphs`: decoding with `cuda_graphs`, compared with decoding without it, for all answers and for a
  single answer.

Model FLOP utilisation (MFU) is the number of necessary operations per second (`operations`), divided by the
measured FLOP/s of matrix products. Peak memory is the allocator's maximum. The estimates come from
`training.rlhf.planning`.

On a GPU, each section runs in its own process, with its own time limit. A section that fails, runs out of
memory or hangs does not affect the others, and the table states the reason. If a section does not fit into
the device's memory according to the estimate, it uses fewer prompts. If not even one prompt fits, the section
is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from benchmarks.gpu import machine
from benchmarks.gpu.sections import Outcome, Section, Start, measure, outcome_of

# Time limits of the sections, in seconds. With the default shapes, they add up to less than 10 minutes.
MACHINE_SECONDS = 30
SECONDS = {
    "tiny": {"rollouts": 60, "reward model": 60, "ppo": 60, "cuda graphs": 60},
    "half-b": {"rollouts": 70, "reward model": 60, "ppo": 70, "cuda graphs": 50},
    "7b": {"rollouts": 90, "reward model": 70, "ppo": 90, "cuda graphs": 50},
}


def main(given: Sequence[str] | None = None) -> list[Outcome]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--shape", nargs="+", choices=list(SECONDS), default=["half-b", "7b"])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    asked = parser.parse_args(given)
    # After a failed call on a GPU, all later calls in the same process can fail, so each section gets its own
    # process. Sections on a CPU need no isolation.
    start: Start | None = "spawn" if asked.device == "cuda" else None
    outcomes: list[Outcome] = []

    def report(section: Section) -> Outcome:
        print(f"{section.name} {section.shape}".rstrip() + " …", file=sys.stderr, flush=True)
        outcomes.append(outcome_of(section, start=start))
        write(asked.out, outcomes)
        return outcomes[-1]

    found = report(Section("machine", "", MACHINE_SECONDS, partial(machine.measure, asked.device)))
    limits = found.figures
    if found.error:
        print(f"The device can't be used: {found.error}", file=sys.stderr)
    else:
        for shape in asked.shape:
            for name, seconds in SECONDS[shape].items():
                run = partial(measure, name, shape, asked.device, limits, seconds=seconds)
                report(Section(name, shape, seconds, run))
    print(table(outcomes))
    return outcomes


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the results so far, so that they are kept if the benchmark is stopped."""
    content = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": machine.versions(),
        "sections": [outcome.as_json() for outcome in outcomes],
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def table(outcomes: Sequence[Outcome]) -> str:
    lines = ["versions: " + ", ".join(f"{name} {version}" for name, version in machine.versions().items())]
    lines += ["", "| section | model | figure | value |", "|---|---|---|---|"]
    for one in outcomes:
        start = f"| {one.section} | {one.shape or '–'} |"
        lines += [f"{start} {name} | {_readable(value)} |" for name, value in one.figures.items()]
        if one.error:
            lines.append(f"{start} not measured | {one.error} |")
    return "\n".join(lines)


def _readable(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()
