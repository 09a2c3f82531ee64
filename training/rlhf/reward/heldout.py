"""Score held-out rankings with a reward model, as input for `reward_report`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.rlhf.core import distributed
from training.rlhf.data.batching import Group, ResponseTooLongError, fit_group
from training.rlhf.data.rankings import Ranking
from training.rlhf.models.loading.opening import load_reward_model
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.tokens import chat
from training.rlhf.report.answer_link import AnswerLink
from training.rlhf.report.reward_report import RewardReport, report_on, save
from training.rlhf.report.scored import SCORED_NAME, ScoredRankings
from training.rlhf.reward.scoring import length_limit, score_groups


def report_heldout(
    model: Loaded, heldout: Sequence[Ranking], folder: str | Path, *, seed: int = 0
) -> RewardReport | None:
    """Score the rankings in ``heldout`` and report on them. Return None if no held-out ranking with a
    preference can be scored.

    The report, its plots and the scores are saved in the model's ``folder``. Two models can then be compared
    without loading either model.
    """
    if not heldout:
        return None
    scored, left_out = score_rankings(model, heldout)
    if not (scored.pairs().verdict != 0).any():
        return None
    report = report_on(scored, left_out=left_out, seed=seed)
    if distributed.is_first():
        save(report, folder)
        scored.save(Path(folder) / SCORED_NAME)
    return report


def score_rankings(
    model: Loaded | str | Path, rankings: Sequence[Ranking]
) -> tuple[ScoredRankings, dict[str, int]]:
    """Return the rewards of all responses, and the number of omitted rankings by reason.

    As in training, prompts that are too long lose their first tokens. The limit is the maximum length that
    was used in training or, if no such length is stored, the model's context length.

    Rankings are omitted for these reasons:

    - ``fewer_than_two_responses``: there is no pair of responses.
    - ``identical_after_encoding``: all responses have the same tokens.
    - ``refused_by_template``: the chat template cannot render the prompt.
    - ``response_too_long``: one response alone fills the maximum length.

    Rankings that tie all responses are scored too: they show how often annotators state ties.
    """
    loaded, tokenizer = model if isinstance(model, Loaded) else load_reward_model(model)
    notes: Mapping[str, Any] = getattr(loaded.config, "rankloop", None) or {}
    limit = length_limit(loaded)
    kept: list[Ranking] = []
    groups: list[Group] = []
    left_out: Counter[str] = Counter()
    for ranking in rankings:
        if len(ranking.responses) < 2:
            left_out["fewer_than_two_responses"] += 1
            continue
        responses = [chat.encode_response(tokenizer, text) for text in ranking.responses]
        if all(response == responses[0] for response in responses):
            left_out["identical_after_encoding"] += 1
            continue
        try:
            whole = Group(chat.encode_prompt(tokenizer, ranking.messages), responses, [])
            groups.append(fit_group(whole, max_length=limit, cls=tokenizer.cls_token_id)[0])
        except chat.TemplateRefuses:
            left_out["refused_by_template"] += 1
        except ResponseTooLongError:
            left_out["response_too_long"] += 1
        else:
            kept.append(ranking)
    mine = distributed.share([group.packed_tokens for group in groups])
    rewards = distributed.gather_rows(
        mine,
        score_groups(loaded, [groups[i] for i in mine], pad_id=chat.pad_id(tokenizer)),
        [len(group.responses) for group in groups],
    )
    scored = ScoredRankings.of(kept, [row.tolist() for row in rewards], AnswerLink.from_notes(notes))
    return scored, dict(left_out)
