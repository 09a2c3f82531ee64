"""Rankings in files that are structured like real public data are encoded correctly: each prompt occurs once
and has one BOS, and no pair has two equal inputs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from tests.field_cases import FIELD, case
from training.rlhf.data.files import read_rankings
from training.rlhf.models.tokens import chat
from training.rlhf.reward.encoding import count_control_tokens, encode_rankings

QUESTION = [{"role": "user", "content": "How much is tea?"}]


def made(name: str, folder: Path) -> Path:
    """Run the case's script, which creates input files in the folder. Return the folder.

    The script runs in this process, because a new process would take 5 s of processor time to import torch.
    """
    script = case(name) / "input.py"
    with pytest.MonkeyPatch.context() as changed, torch.random.fork_rng():
        changed.setenv("O", str(folder))
        changed.syspath_prepend(str(FIELD))
        changed.setattr(sys, "dont_write_bytecode", True)
        runpy.run_path(str(script))
    return folder


@pytest.mark.parametrize("name", ["str", "list"])
def test_prompt_repeated_in_both_sides_of_a_pair_is_read_once(name: str, tmp_path: Path) -> None:
    (ranking,) = read_rankings(made("40-prompt-said-twice", tmp_path) / f"{name}.jsonl")
    assert list(ranking.messages) == QUESTION
    assert [ranking.responses[index] for (index,) in ranking.tiers] == ["good", "bad"]


def test_pairs_that_are_identical_after_encoding_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = made("36-identical-after-encoding", tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    rankings = read_rankings(folder / "r.jsonl")
    assert len(rankings) == 140
    groups, left_out, _ = encode_rankings(rankings, tokenizer, max_length=1024, ties="ignore")
    assert (len(groups), left_out) == (130, {"identical_after_encoding": 10})
    assert count_control_tokens(rankings, tokenizer) == 10
    assert all(group.responses[0] != group.responses[1] for group in groups)
    # Responses are never truncated, so a difference at the end of a long response is not cut off.
    _, left_out, _ = encode_rankings(rankings, tokenizer, max_length=128, ties="ignore")
    assert left_out == {"identical_after_encoding": 10, "response_too_long": 10}


def test_prompt_has_exactly_one_bos_with_or_without_a_template(tmp_path: Path) -> None:
    folder = made("33-double-bos", tmp_path)
    for name in ("template", "plain"):
        tokenizer = AutoTokenizer.from_pretrained(folder / name)
        prompt = chat.encode_prompt(tokenizer, QUESTION)
        ids = [*prompt, *chat.encode_response(tokenizer, "good")]
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1
        assert ids.count(tokenizer.eos_token_id) == 1


def test_refused_system_turns_are_counted_and_think_blocks_are_encoded(tmp_path: Path) -> None:
    folder = made("42-template-refuses-and-think", tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy")
    rankings = read_rankings(folder / "r.jsonl")
    groups, left_out, _ = encode_rankings(rankings, tokenizer, max_length=512, ties="ignore")
    assert (len(groups), left_out) == (80, {"refused_by_template": 8})
    one, two = (chat.encode_response(tokenizer, f"<think>{word}</think>5") for word in ("yes", "no"))
    assert one != two
