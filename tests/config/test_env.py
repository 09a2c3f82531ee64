from __future__ import annotations

import pytest

from config.env import env_list


def test_list_variable_ignores_empty_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_VARIABLE", " a.example , ,b.example,")
    assert env_list("A_VARIABLE") == ["a.example", "b.example"]
    monkeypatch.setenv("A_VARIABLE", " ")
    assert env_list("A_VARIABLE") == []
