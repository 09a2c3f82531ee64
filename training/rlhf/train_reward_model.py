"""Train a reward model from plain files, in one process or several:

    python -m training.rlhf.train_reward_model RANKINGS --base-model FOLDER --out FOLDER
    torchrun --nproc-per-node 2 -m training.rlhf.train_reward_model RANKINGS --base-model …

The command needs neither Django nor a database. After a crash, the same command resumes from the last
checkpoint. The last line of the output is the result as JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from training.rlhf.core import distributed
from training.rlhf.core.checkpoint import CheckpointRefused
from training.rlhf.core.reporter import PrintReporter, TrainingDiverged
from training.rlhf.data.files import read_rankings
from training.rlhf.data.rankings import RankingFileError
from training.rlhf.models.loading.refusals import ModelNotFound
from training.rlhf.recipes.reward_model import RewardModelConfig
from training.rlhf.reward.reward_model import train

PRINTED = ("metrics", "steps", "total_steps", "left_out", "prompts_cut", "control_tokens_removed", "repeats")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m training.rlhf.train_reward_model",
        description="Train a reward model on a rankings file (docs/formats.md lists the formats).",
    )
    parser.add_argument(
        "rankings", type=Path, help="training data: a snapshot, or any rankings file that can be imported"
    )
    parser.add_argument(
        "--heldout",
        type=Path,
        help="held-out rankings for selecting the best weights; by default, some prompts are held out",
    )
    parser.add_argument(
        "--base-model",
        required=True,
        help="policy to start from: a folder, or a name on the Hugging Face hub",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder in which the model is saved")
    parser.add_argument(
        "--recipe",
        type=Path,
        help="file with the settings as a JSON object (docs/recipes.md lists the settings)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one setting, which takes precedence over the file",
    )
    parser.add_argument(
        "--checkpoints",
        type=Path,
        help="checkpoint folder, by default OUT.checkpoints; removed at the end",
    )
    options = parser.parse_args(argv)
    checkpoints = options.checkpoints or options.out.with_name(f"{options.out.name}.checkpoints")
    try:
        recipe = RewardModelConfig.model_validate(_settings(options.recipe, options.set))
        with distributed.process_group():
            result = train(
                recipe,
                base_model=options.base_model,
                rankings=read_rankings(options.rankings),
                heldout=read_rankings(options.heldout) if options.heldout else (),
                out_dir=options.out,
                checkpoints=checkpoints,
                report=PrintReporter(),
            )
            if distributed.is_first():
                shutil.rmtree(checkpoints, ignore_errors=True)
                printed = {name: getattr(result, name) for name in PRINTED} | {
                    "path": str(result.path),
                    "annotators": {name: asdict(one) for name, one in result.annotators.items()},
                }
                sys.stdout.write(json.dumps(printed) + "\n")
    except (
        *(ValidationError, RankingFileError, ModelNotFound, TrainingDiverged, CheckpointRefused),
        *(ValueError, FileNotFoundError),
    ) as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
    return 0


def _settings(file: Path | None, single: Sequence[str]) -> dict[str, Any]:
    """Merge the settings in the file with those from --set, which take precedence. Numbers are left as text,
    which Pydantic converts."""
    settings: dict[str, Any] = json.loads(file.read_text()) if file else {}
    for setting in single:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: write it as NAME=VALUE")
        settings[name] = value or None
    return settings


if __name__ == "__main__":
    sys.exit(main())
