"""The scores that are shown beside a sample answer."""

from __future__ import annotations

from collections.abc import Mapping

from training.rlhf.judging.judges import Judged


def answer_scores(
    judged: Judged, index: int, *, kl: float | None = None, kl_coefficient: float = 0.0
) -> dict[str, float]:
    """Return the scores of one answer.

    `reward` is the run's reward, in standard deviations. With several reward models, `rewards/<name>` is each
    model's own score, in standard deviations. If the argument `kl` is given, the scores also include `kl` and
    `reward_minus_kl`. `kl` is the answer's KL from the reference in nats, Σ_t (log π - log ref).
    `reward_minus_kl` is the quantity that training maximises, reward - kl_coefficient · kl.
    """
    reward = float(judged.scores[index])
    scores = {"reward": reward}
    if kl is not None:
        scores |= {"kl": kl, "reward_minus_kl": reward - kl_coefficient * kl}
    if len(judged.standard) > 1:
        scores |= {f"rewards/{name}": float(z[index]) for name, z in judged.standard.items()}
    return scores


def before_and_after(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return the scores of a prompt's two answers for `Reporter.sample`, with names that end in `_before` and
    `_after`."""
    both = ((before, "before"), (after, "after"))
    return {f"{name}_{when}": value for scores, when in both for name, value in scores.items()}
