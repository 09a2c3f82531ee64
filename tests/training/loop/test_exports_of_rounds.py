"""A round exports its snapshot in the formats of its settings."""

from __future__ import annotations

import json

import pytest
from django.conf import settings

from config.problems import Problem
from training.loop.turning import set_loop, turn_by_hand
from training.models import Loop


def test_snapshot_is_exported_in_each_format_and_a_refused_format_is_explained(ranked_loop: Loop) -> None:
    formats = ["trl_preference", "trl_unpaired", "ranking"]
    set_loop(project=ranked_loop.project, settings={"export_formats": formats})
    round = turn_by_hand(loop=ranked_loop, by=None)
    step = round.steps.get(kind="export")
    assert step.state == "succeeded"
    exports = {one["format"]: one for one in step.outcome["exports"]}
    assert list(exports) == formats
    file = settings.ARTEFACTS / exports["trl_preference"]["file"]
    assert file.name.startswith("lab-round-1-trl_preference")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    verdicts = [(row["chosen"][-1]["content"], row["rejected"][-1]["content"]) for row in rows]
    assert verdicts == [("yes", "no")] * 3
    assert exports["trl_preference"]["bytes"] == file.stat().st_size
    refused = exports["trl_unpaired"]
    assert refused["file"] == ""
    assert refused["reason"].startswith("No response in the snapshot was rated or flagged.")
    assert step.reason == f"trl_unpaired: {refused['reason']}"


def test_round_without_export_formats_has_no_export_step(ranked_loop: Loop) -> None:
    assert not turn_by_hand(loop=ranked_loop, by=None).steps.filter(kind="export").exists()


def test_unknown_export_format_is_refused(ranked_loop: Loop) -> None:
    with pytest.raises(Problem, match="there is no format 'trl'"):
        set_loop(project=ranked_loop.project, settings={"export_formats": ["trl"]})
