"""Evaluate a policy. The policy answers prompts, and a judge scores each answer. The result is the mean score
with its standard error.

`compare` compares two policies on the same prompts. A prompt that is hard for one policy is usually hard for
the other. The mean difference per prompt therefore has a far smaller standard error than a difference between
means on different prompts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from training.rlhf.core.messages import Messages
from training.rlhf.core.reporter import NullReporter, Reporter
from training.rlhf.generation.answering import answers_to
from training.rlhf.generation.engines import open_engine
from training.rlhf.generation.interface import Sampling
from training.rlhf.models.loading.opening import open_policy
from training.rlhf.models.loading.sources import ModelSource
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.answers import EvaluateConfig

Judge = Callable[[Messages, str], float]
PROMPTS_PER_BATCH = 64  # number of prompts that are answered, and then scored, together


@runtime_checkable
class BatchJudge(Protocol):
    """A judge that scores many answers in one call, such as a reward model."""

    def points(self, items: Sequence[tuple[Messages, Sequence[str]]]) -> list[list[float]]:
        """Return the points of the answers to each prompt."""


@dataclass(frozen=True)
class EvaluatedPrompt:
    """The answers to one prompt, and the judge's points for each of them."""

    messages: Messages
    responses: list[str]
    points: list[float]

    @property
    def mean(self) -> float:
        return math.fsum(self.points) / len(self.points)


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation: `mean` and `standard_error` of the judge's points over `n` prompts.

    The points of all answers to a prompt are averaged first. Answers to the same prompt are similar, and
    treating them as independent would make the standard error too small. `mean_tokens` is the mean number of
    tokens per answer, including EOS. `repetition_rate` is the share of word triples that occurred earlier in
    the same answer. `finished_share` is the share of answers that ended with a stop token. `cut` is the
    number of prompts that were truncated to fit the context. `refused` is the number of prompts that the chat
    template can't render. These prompts are not among the `n` prompts.
    """

    mean: float
    standard_error: float
    n: int
    mean_tokens: float
    repetition_rate: float
    finished_share: float
    cut: int
    refused: int
    rows: list[EvaluatedPrompt]

    def metrics(self) -> dict[str, float]:
        return {
            "mean": self.mean,
            "standard_error": self.standard_error,
            "mean_tokens": self.mean_tokens,
            "repetition_rate": self.repetition_rate,
            "finished_share": self.finished_share,
        }


@dataclass(frozen=True)
class PairedComparison:
    """The new policy's points minus the old policy's, on the same prompts."""

    difference: float
    standard_error: float
    n: int
    wins: int
    ties: int
    losses: int


def evaluate(
    config: EvaluateConfig,
    *,
    policy: ModelSource,
    prompts: Sequence[Messages],
    judge: Judge | BatchJudge,
    report: Reporter | None = None,
) -> Evaluation:
    """Let `judge` score the answers of `policy`. Raises `ModelNotFound`, `Cancelled` or, if there are no
    usable prompts, `ValueError`."""
    report = report or NullReporter()
    loaded = open_policy(policy, config.arguments_of_template)
    rows: list[EvaluatedPrompt] = []
    tokens, finished, cut, refused, seconds = 0, 0, 0, 0, 0.0
    batches = answers_to(
        prompts,
        policy=loaded,
        engine=open_engine(config),
        sampling=Sampling(
            config.max_new_tokens, config.responses_per_prompt, config.temperature, config.top_p
        ),
        prompts_per_batch=PROMPTS_PER_BATCH,
        seed=config.seed,
        purpose="evaluate",
        check=report.check,
        progress=lambda done, total: report.progress("evaluate", done, total),
    )
    for batch in batches:
        texts = [
            [chat.decode(loaded.tokenizer, completion.content) for completion in completions]
            for completions in batch.answers
        ]
        items = list(zip(batch.prompts, texts, strict=True))
        rows += [
            EvaluatedPrompt(*item, found) for item, found in zip(items, points(judge, items), strict=True)
        ]
        tokens, seconds = tokens + batch.tokens, seconds + batch.seconds
        finished += sum(completion.finished for completion in batch.completions)
        cut, refused = cut + batch.cut, refused + batch.refused
    n_answers = len(rows) * config.responses_per_prompt
    mean, error = mean_and_error([row.mean for row in rows])
    evaluation = Evaluation(
        mean=mean,
        standard_error=error,
        n=len(rows),
        mean_tokens=tokens / n_answers,
        repetition_rate=math.fsum(repetition_rate(text) for row in rows for text in row.responses)
        / n_answers,
        finished_share=finished / n_answers,
        cut=cut,
        refused=refused,
        rows=rows,
    )
    report.metrics(len(rows), evaluation.metrics() | {"tokens_per_second": tokens / seconds})
    return evaluation


def points(judge: Judge | BatchJudge, items: Sequence[tuple[Messages, Sequence[str]]]) -> list[list[float]]:
    """The judge's points for the answers to each prompt."""
    if isinstance(judge, BatchJudge):
        return judge.points(items)
    return [[float(judge(messages, text)) for text in texts] for messages, texts in items]


def compare(new: Evaluation, old: Evaluation) -> PairedComparison:
    """Compare the evaluations of two policies prompt by prompt. Raises `ValueError` if the prompts differ."""
    if [row.messages for row in new.rows] != [row.messages for row in old.rows]:
        raise ValueError(
            "the two evaluations have different prompts, so they can't be compared prompt by prompt"
        )
    differences = [a.mean - b.mean for a, b in zip(new.rows, old.rows, strict=True)]
    mean, error = mean_and_error(differences)
    wins, losses = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    return PairedComparison(mean, error, len(differences), wins, len(differences) - wins - losses, losses)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and its standard error s / √n, where s² has the denominator n - 1. The error of a
    single value is NaN (unknown)."""
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return mean, math.nan
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


def repetition_rate(text: str) -> float:
    """Return the share of the text's word triples that occurred earlier in the text. The share is 0 without
    repetition and close to 1 for endless repetition."""
    words = text.lower().split()
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return 1.0 - len(set(triples)) / len(triples) if triples else 0.0
