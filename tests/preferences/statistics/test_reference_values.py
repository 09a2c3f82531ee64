"""Agreement and strengths match the reference values in ../shared/data/README.md to the last digit."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from preferences.statistics import bradley_terry, davidson
from preferences.statistics.biases import wins_of_the_larger
from preferences.statistics.intervals import clustered_share
from preferences.statistics.krippendorff import alpha
from tests.preferences.statistics.helpers import alpha_of_matrix
from tests.preferences.statistics.real_votes import mt_bench, rows_of, tulu


def test_pandalm_matches_the_reference_values() -> None:
    rows = rows_of("annotators/pandalm-testset-v1.jsonl.gz")
    labels = np.array([[row[f"annotator{n}"] for n in (1, 2, 3)] for row in rows])
    assert len(labels) == 723
    counts = np.stack([(labels == label).sum(1) for label in (0, 1, 2)], axis=1)
    found = alpha_of_matrix(labels.T, metric="nominal", samples=500)
    assert round(found.alpha, 4) == 0.8806
    assert 0.85 < found.low < 0.8806 < found.high < 0.91
    assert int((counts == 3).any(1).sum()) == 646
    assert int((counts == 1).all(1).sum()) == 0


def test_mt_bench_agreement_matches_the_reference_values() -> None:
    votes = mt_bench()
    per_item = np.bincount(votes.items)
    assert (len(votes.names), int((per_item > 1).sum()), int(votes.people.max()) + 1) == (1257, 699, 65)
    assert round(alpha(votes.items, votes.values, metric="nominal").alpha, 4) == 0.5015


def test_mt_bench_strengths_match_the_reference_values() -> None:
    votes = mt_bench()
    names = sorted({name for pair in votes.names for name in pair})
    sides = np.array([[names.index(one), names.index(two)] for one, two in votes.names])[votes.items]
    preferred, other = np.where(votes.values >= 0, sides.T, sides.T[::-1])
    table = bradley_terry.table_of(preferred, other, votes.values == 0, len(names))
    strengths = bradley_terry.fit(bradley_terry.half_ties(*table)).strength
    assert dict(zip(names, strengths.round(3).tolist(), strict=True)) == {
        "gpt-4": 1.019,
        "claude-v1": 0.709,
        "gpt-3.5-turbo": 0.638,
        "vicuna-13b-v1.2": -0.098,
        "alpaca-13b": -0.726,
        "llama-13b": -1.543,
    }
    # Davidson's strengths have the same order as Bradley–Terry's, but larger absolute values, because
    # Davidson's model does not count a tie as half a win.
    with_ties = davidson.fit(*table)
    assert [names[i] for i in np.argsort(-with_ties.strength)] == [names[i] for i in np.argsort(-strengths)]
    assert (np.abs(with_ties.strength) > np.abs(strengths)).all()
    drawn = bradley_terry.resampled(
        preferred, other, votes.values == 0, votes.items, len(names), samples=200, seed=0
    )
    low, high = np.quantile(
        bradley_terry.fit(bradley_terry.half_ties(*drawn)).strength, [0.025, 0.975], axis=0
    )
    assert ((low < strengths) & (strengths < high)).all()
    assert (high - low < 0.4).all()


def test_tulu_matches_the_reference_values() -> None:
    votes = tulu()
    assert len(votes.names) == 693
    assert (int(votes.people.max()) + 1, int((np.bincount(votes.items) > 1).sum())) == (16, 89)
    three_way = np.sign(votes.values)
    assert round(alpha(votes.items, three_way, metric="nominal").alpha, 4) == 0.3038
    assert round(alpha(votes.items, votes.values, metric="interval").alpha, 3) == 0.298


def test_squality_matches_the_reference_values() -> None:
    rows = rows_of("annotators/squality-human-eval.jsonl.gz")
    reviews = [
        (number, question, review, response["system"])
        for number, (question, response) in enumerate(
            (question, response) for question, row in enumerate(rows) for response in row["responses"]
        )
        for review in response["reviews"]
    ]
    assert (len(rows), reviews[-1][0] + 1, len(reviews)) == (70, 210, 630)
    assert len({review["worker_id"] for _, _, review, _ in reviews}) == 4
    items, questions = (np.array([row[place] for row in reviews]) for place in (0, 1))
    ratings = np.array([review["overall-rating"] for _, _, review, _ in reviews])
    assert round(alpha(items, ratings, metric="interval").alpha, 4) == 0.7854
    firsts: dict[str, int] = {}
    for _, _, review, system in reviews:
        firsts[system] = firsts.get(system, 0) + (review["overall-rank"] == 1)
    assert firsts == {"human": 204, "bart-dpr": 5, "bart": 1}
    # The same three annotators judge the three texts for a question. An interval that treats the texts as
    # independent is therefore slightly too narrow.
    by_question = alpha(items, ratings, metric="interval", clusters=questions, samples=500)
    assert by_question.low < 0.7854 < by_question.high


def test_qa_feedback_matches_the_reference_values() -> None:
    rows = rows_of("kway/qa-feedback-4way.jsonl.gz")
    said = np.array([row["preference"] for row in rows])
    assert said.shape == (343, 6)
    assert (int((said > 0).sum()), int((said == 0).sum()), int((said == 0).any(1).sum())) == (1808, 250, 131)
    pairs = list(combinations(range(4), 2))
    cycles = weak_orders = 0
    for row in said:
        # beats[i, j]: 1 if i is preferred, 0 for a tie, −1 if j is preferred.
        beats = np.zeros((4, 4), dtype=int)
        for (i, j), value in zip(pairs, row, strict=True):
            beats[i, j] = {0: 0, 1: 1, 2: -1}[value]
            beats[j, i] = -beats[i, j]
        cycles += any(beats[i, j] == beats[j, k] == beats[k, i] != 0 for i, j, k in combinations(range(4), 3))
        score = beats.sum(1)
        weak_orders += bool((np.sign(score[:, None] - score[None, :]) == beats).all())
    assert cycles == 0
    assert len(rows) - weak_orders == 16
    # The reference measures length in UTF-8 bytes. Its total of 1,808 pairs includes 4 pairs of equal length,
    # which count as if the longer response had lost.
    lengths = np.array([[len(row[f"prediction {n}"].encode()) for n in (1, 2, 3, 4)] for row in rows])
    won = n = 0
    for (i, j), verdict in zip(pairs, said.T, strict=True):
        places = np.stack([verdict == 2, verdict == 1], axis=1).astype(np.int8)
        found = wins_of_the_larger(places, lengths[:, [i, j]])
        won, n = won + int(found.won.sum()), n + int(found.n.sum())
    assert (won, n) == (943, 1804)
    assert round(won / 1808, 4) == 0.5216


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("helpful-base.train", 0.588),
        ("helpful-base.test", 0.607),
        ("helpful-online.train", 0.447),
        ("helpful-online.test", 0.349),
        ("helpful-rejection-sampled.train", 0.552),
        ("helpful-rejection-sampled.test", 0.583),
    ],
)
def test_longer_hh_responses_win_as_often_as_in_the_reference(name: str, share: float) -> None:
    rows = rows_of(f"hh-rlhf/{name}.jsonl.gz")
    lengths = np.array([[len(row["chosen"]), len(row["rejected"])] for row in rows])
    places = np.tile(np.array([0, 1], dtype=np.int8), (len(rows), 1))
    found = wins_of_the_larger(places, lengths)
    # The reference counts a row with responses of equal length as if the longer response had lost.
    assert round(float(found.won.mean()), 3) == share
    interval, n = clustered_share(found.won, found.n)
    assert n == len(rows) - int((lengths[:, 0] == lengths[:, 1]).sum())
    assert interval.low < share < interval.high
