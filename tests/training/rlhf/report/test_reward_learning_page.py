"""The documentation page on reward learning matches its data files and uses all of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.learning import page as learning_page
from benchmarks.learning import real_rankings

DOCS = Path(__file__).resolve().parents[4] / "docs"


def test_page_and_its_plots_match_the_data_files(tmp_path: Path) -> None:
    learning_page.write(learning_page.figures_in(DOCS), tmp_path)
    drawn = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert [str(path) for path in drawn] == [
        "images/learning-real.svg",
        "images/learning-world.svg",
        "reward-learning.md",
    ]
    for path in drawn:
        assert (DOCS / path).read_text() == (tmp_path / path).read_text(), f"regenerate {path}"


def test_page_omits_trunks_without_data(tmp_path: Path) -> None:
    figures = learning_page.figures_in(DOCS)
    learning_page.write({"random": figures["random"]}, tmp_path)
    page, plot = (
        (tmp_path / name).read_text() for name in ("reward-learning.md", "images/learning-real.svg")
    )
    assert "| set (pairs) | TF-IDF | Rankloop, random | TRL, random |\n" in page
    assert "MiniLM" not in page + plot
    assert "demo world" not in page


@pytest.mark.skipif(not real_rankings.available(), reason=f"no real data in {real_rankings.DATA}")
def test_real_rankings_are_complete_and_in_the_documented_order() -> None:
    """Row counts match the data README: in 25 pairs, both texts are identical, and 16 rows have intransitive
    verdicts."""
    train, test = real_rankings.hh_helpful("train"), real_rankings.hh_helpful("test")
    assert (len(train), len(test)) == (4014 - 22, 994 - 3)
    assert not {r.messages[0]["content"] for r in train} & {r.messages[0]["content"] for r in test}
    assert len(real_rankings.qa_feedback()) == 343 - 16
    trees = real_rankings.oasst_trees()
    assert Counter(len(r.responses) for r in trees) == {2: 39, 3: 86, 4: 20, 5: 2, 6: 4, 8: 1, 9: 1}
    longest = next(r for r in trees if len(r.responses) == 9)
    assert sorted(index for tier in longest.tiers for index in tier) == list(range(9))
    row = next(real_rankings.rows_of("hh-rlhf/helpful-base.train.jsonl.gz"))
    assert row["chosen"].endswith(train[0].responses[train[0].tiers[0][0]])
