"""Spread an answer's reward over its tokens by potential-based shaping.

With the reward at the end of an answer, every token of a long answer gets the same credit. Here, the reward
models also score partial answers, each of which ends with a complete sentence and an EOS. The potential
Φ(s_t) is the score of the longest such partial answer in s_t, the state in which token t is chosen. The
potential is 0 before the first sentence has ended. The reward of token t is

    r_t = γ Φ(s_{t+1}) - Φ(s_t),  and for the last token  r_T = R - Φ(s_T),

where R is the answer's score. The discounted sum of all r_t is γ^T R, exactly as with the reward at the end.
The optimal policies are therefore the same (Ng, Harada & Russell 1999, theorem 1). With γ = 1, the return
from token t on is R - Φ(s_t). Φ(s_t) is a baseline that depends only on the state, so the expected policy
gradient is the same, too.

This requires that Φ(s_t) is a function of the tokens before t. A sentence's end is known only when the next
sentence begins: "3." can continue as "3.14". The reward for a sentence is therefore paid to the first token
of the next sentence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from training.rlhf.core.alive import alive, counting
from training.rlhf.judging.floors import FloorState
from training.rlhf.judging.judge import Asked
from training.rlhf.judging.judges import Judges
from training.rlhf.models.tokens import chat

# Maximum number of partial answers that are scored per answer, besides the whole answer. Each partial answer
# is read in full, so n equally spaced partial answers together have about n / 2 times as many tokens as the
# answer.
MAX_PARTIAL_ANSWERS = 8
ENDS = ".!?…"  # end a sentence if followed by a space
WIDE_ENDS = "。！？｡"  # end a sentence in scripts without spaces
CLOSERS = "\"'”’»)]}）」』】*_`"  # can occur between the end of a sentence and the next space
# Number of tokens that are decoded together. A shorter window could split a character.
WINDOW = 8
# Decoded text of a token that is only a part of a character.
BROKEN = "\N{REPLACEMENT CHARACTER}"


def token_scores(
    judges: Judges,
    asked: Sequence[Asked],
    ends: Tensor,
    *,
    lengths: Sequence[int],
    max_new_tokens: int,
    gamma: float = 1.0,
    clip: float = math.inf,
    state: FloorState | None = None,
) -> list[Tensor]:
    """Return the reward of every token of the answers, one tensor of shape (T,) per answer.

    `ends`, with shape (N,), is the reward of each whole answer, after any clipping and penalties. `ends` and
    the result are both in the order of the prompts and of their answers. `lengths` contains the number of
    sampled tokens of each answer. An EOS that was appended to a truncated answer is not counted and gets no
    reward. Potentials are clipped to ±`clip`. `max_new_tokens` determines the minimum distance between two
    scored partial answers.
    """
    potentials = potentials_of(judges, asked, max_new_tokens=max_new_tokens, state=state)
    return [
        spread(found[:length].clamp(-clip, clip), float(end), gamma=gamma)
        for found, end, length in zip(potentials, ends, lengths, strict=True)
    ]


def spread(potentials: Tensor, end: float, *, gamma: float = 1.0) -> Tensor:
    """Return the rewards r_t of one answer's tokens, with shape (T,).

    `potentials[t]` is Φ(s_t), the potential before token t is chosen. `end` is the whole answer's reward. The
    discounted sum of the result is γ^(T-1) · end - Φ(s_0), and Φ(s_0) is 0 in `potentials_of`. Raises
    ValueError for an answer without tokens.
    """
    if len(potentials) == 0:
        raise ValueError("an answer with no tokens has no last token to reward")
    following = torch.cat([gamma * potentials[1:], potentials.new_tensor([end])])
    return following - potentials


def potentials_of(
    judges: Judges, asked: Sequence[Asked], *, max_new_tokens: int, state: FloorState | None = None
) -> list[Tensor]:
    """Return Φ(s_t) for every token of each answer: one tensor of shape (T,) per answer.

    All partial answers to a prompt are scored in one pass that reads the prompt once.
    """
    apart = math.ceil(max_new_tokens / MAX_PARTIAL_ANSWERS)
    eos = chat.eos_id(judges.policy)
    answers = [(one, answer) for one in asked for answer in one.answers]
    starts = [later_starts(sentence_starts(judges.policy, answer), apart=apart) for _, answer in answers]
    partial = [
        Asked(one.messages, one.prompt, [[*answer[:start], eos] for start in found])
        for (one, answer), found in zip(answers, starts, strict=True)
        if found
    ]
    readings = sum(map(len, starts)) * len(judges.judges)
    with counting(readings, "partial answers scored"):
        scores = iter(judges.score(partial, state).scores.tolist() if partial else [])
    result = []
    for (_, answer), found in zip(answers, starts, strict=True):
        potentials = torch.zeros(len(answer))
        for start in found:
            # The token at `start` shows that the sentence before it is complete.
            potentials[start + 1 :] = next(scores)
        result.append(potentials)
    return result


def sentence_starts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[int]:
    """Return the index of the first token of each sentence except the first.

    A sentence begins after a line break. It also begins after a full stop, an exclamation mark, a question
    mark or an ellipsis, if a space follows. Quotation marks and brackets can come between the mark and the
    space. The full-width marks need no space. An abbreviation such as "Dr." counts as a sentence, which
    affects only where rewards are paid. The rule reads decoded text, and whether a sentence begins at token t
    depends only on the tokens up to t.
    """
    alive()
    own = {token: str(tokenizer.decode([token])) for token in set(ids)}
    marks = {*ENDS, *WIDE_ENDS, "\n", BROKEN}
    starts = []
    for t in range(1, len(ids)):
        if not any(marks & set(own[token]) for token in ids[max(0, t - WINDOW) : t + 1]):
            continue
        before, both = (
            str(tokenizer.decode(list(ids[max(0, t - WINDOW) : end]), skip_special_tokens=True))
            for end in (t, t + 1)
        )
        if both.startswith(before) and _begins(before, both[len(before) :]):
            starts.append(t)
    return starts


def later_starts(starts: Sequence[int], *, apart: int) -> list[int]:
    """Return the starts that are at least `apart` tokens after the previous returned start, or after the
    answer's first token."""
    kept: list[int] = []
    for start in starts:
        if start - (kept[-1] if kept else 0) >= apart:
            kept.append(start)
    return kept


def _begins(before: str, text: str) -> bool:
    """Whether `text`, which follows `before`, begins a new sentence."""
    content = text.strip()
    sentence = before.rstrip()
    if not sentence or not content or content[0] in ENDS + WIDE_ENDS:
        return False
    gap = before[len(sentence) :] + text[: len(text) - len(text.lstrip())]
    if "\n" in gap:
        return True
    end = sentence.rstrip(CLOSERS)[-1:]
    return bool(end) and (end in WIDE_ENDS or (end in ENDS and bool(gap)))
