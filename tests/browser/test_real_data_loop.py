"""The loop runs on real data. Human comparisons and real models' responses are imported, and a user ranks
responses in the browser. A local language model is trained on all of this data. The trained model's responses
become the next tasks."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.annotation.real_data import hh_file, real_file
from tests.browser.desk import Desk
from tests.embedded.running import Stack
from tests.loop.policies import writers_of

pytestmark = [pytest.mark.browser, pytest.mark.loop, pytest.mark.timeout(900)]

PROJECT = "real"
VOCABULARY = 4000
CONTEXT = 1024
RESPONSES_PER_TASK = 8
RANKED_BY_HAND = 2


def told(stack: Stack, *command: str) -> dict:
    """Runs a command with `--json` and returns its output."""
    done = stack.manage(*command, "--json", timeout=600)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    said: dict = json.loads(done.stdout.splitlines()[-1])
    return said


def run(stack: Stack, kind: str, *options: str) -> dict:
    """Launches a run, waits until the run succeeds and returns the command's JSON output."""
    done = told(stack, "launch_run", kind, "--project", PROJECT, "--wait", *options)
    assert done["state"] == "succeeded", done
    return done


def texts(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield from (row["prompt"], *(response["response"] for response in row["responses"]))


def newborn_model(folder: Path, corpus: Path) -> str:
    """A base model of the kind that a user could supply, with random weights and a byte-level tokenizer that
    was trained on the corpus."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    inner.train_from_iterator(texts(corpus), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=64,
                intermediate_size=192,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=CONTEXT,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                bos_token_id=None,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def shortest_first(desk: Desk) -> list[str]:
    responses = sorted(desk.assignment["responses"], key=lambda one: len(one["text"]))
    return [response["id"] for response in responses]


def test_real_rankings_train_a_policy_whose_responses_become_the_next_tasks(
    log_in: Callable[[str], Page], demo_stack: Stack, tmp_path: Path
) -> None:
    comparisons, responses = hh_file("helpful-base.test"), real_file("kway/oasst-8-models.jsonl.gz")
    told(demo_stack, "create_project", PROJECT, "--preset", "ranking")
    counts = told(demo_stack, "import_responses", str(comparisons), "--project", PROJECT)
    assert counts["rankings"] == 366
    counts = told(demo_stack, "import_responses", str(responses), "--project", PROJECT)
    assert counts["tasks"] == 177

    # One user ranks some of the 8-way tasks with the keyboard in Chromium. Scripts rank others by a rule that
    # a model can learn.
    join = f"""
from annotation.models import Project, User
from annotation.accounts.members import add_member
project, user = Project.objects.get(slug={PROJECT!r}), User.objects.get(username="annotator-1")
add_member(project=project, user=user, role="annotator")
"""
    done = demo_stack.manage("shell", "-c", join)
    assert done.returncode == 0, done.stderr
    desk = Desk(log_in("annotator-1"), PROJECT).open()
    for _ in range(RANKED_BY_HAND):
        assert len(desk.order()) == RESPONSES_PER_TASK
        desk.rank_by_keys(shortest_first(desk)[::-1])
        desk.submit()
    ranked = told(
        demo_stack, "simulate_annotators", "--project", PROJECT, "--judge", "length", "--limit", "40"
    )
    assert ranked["rankings"] == 40

    # The model starts with random weights, is fine-tuned on the preferred responses and is then trained with
    # PPO.
    base = newborn_model(tmp_path / "base", responses)
    small = ["--set", "sample_prompts=1", "sample_tokens=16", "max_length=256"]
    first = run(
        demo_stack,
        "sft",
        *small,
        f"base_model={base}",
        "max_demonstrations=240",
        "demonstrations=best_responses",
        "learning_rate=6e-3",
        "batch_size=4",
    )
    counts = first["result"]["counts"]
    unusable = {name: n for name, n in counts.items() if name.startswith("left_out/")}
    unusable.pop("left_out/above_limit", None)
    assert 200 < counts["demonstrations"] <= 240, counts
    assert unusable or counts["demonstrations"] == 240, counts
    judge = run(demo_stack, "reward_model", "--set", "max_length=512", "epochs=1", "heldout_fraction=0.2")[
        "result"
    ]
    # The reward model's accuracy on held-out pairs exceeds chance by more than two standard errors.
    accuracy, pairs = judge["metrics"]["heldout/accuracy"], judge["metrics"]["heldout/pairs"]
    assert accuracy > 0.5 + 2 * math.sqrt(0.25 / pairs), judge
    asked = ["max_new_tokens=64", "max_prompts=32"]
    improved = run(
        demo_stack, "ppo", "--set", *asked, "steps=3", "rollout_prompts=8", "samples=1", "sample_every=3"
    )["result"]["model"]
    folder = demo_stack.state / "artefacts" / "models" / improved["name"]
    assert AutoModelForCausalLM.from_pretrained(folder).config.vocab_size == VOCABULARY

    # A barely trained model writes identical responses for some prompts and invalid UTF-8 for others. The
    # run reports how many prompts have no responses that can be ranked.
    sampled = run(
        demo_stack, "sample", "--set", "max_new_tokens=64", "max_prompts=16", "responses_per_prompt=3"
    )["result"]["counts"]
    assert sampled["prompts_answered"] == 16
    unusable = sampled["prompts_with_equal_responses"] + sampled["tasks_refused"]
    assert sampled["tasks"] == 16 - unusable > 0, sampled
    desk.open()  # the first task was assigned before the run created its tasks
    desk.rank_by_keys(shortest_first(desk))
    desk.submit()
    assert writers_of(demo_stack, desk.order()) == {improved["name"]}
    desk.rank_by_keys(shortest_first(desk))
    desk.submit()
