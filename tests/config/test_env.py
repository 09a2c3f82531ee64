from __future__ import annotations

import pytest

from config.env import BadEnvironment, env_bool, env_int, env_list


@pytest.mark.parametrize(("raw", "value"), [("1", True), ("Yes", True), ("off", False), ("FALSE", False)])
def test_a_yes_or_no(monkeypatch: pytest.MonkeyPatch, raw: str, value: bool) -> None:
    monkeypatch.setenv("A_VARIABLE", raw)
    assert env_bool("A_VARIABLE", not value) is value


def test_an_empty_variable_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_VARIABLE", " ")
    assert env_bool("A_VARIABLE", True) is True
    assert env_int("A_VARIABLE", 7, low=1, high=9) == 7
    assert env_list("A_VARIABLE") == []


@pytest.mark.parametrize("raw", ["maybe", "2"])
def test_junk_for_a_yes_or_no_names_the_variable(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("A_VARIABLE", raw)
    with pytest.raises(BadEnvironment, match="A_VARIABLE"):
        env_bool("A_VARIABLE", True)


@pytest.mark.parametrize("raw", ["0", "10", "three", "1.5"])
def test_a_number_out_of_range_names_the_range(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("A_VARIABLE", raw)
    with pytest.raises(BadEnvironment, match=r"A_VARIABLE.* 1 (and|to) 9"):
        env_int("A_VARIABLE", 5, low=1, high=9)


def test_a_list_drops_empty_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_VARIABLE", " a.example , ,b.example,")
    assert env_list("A_VARIABLE") == ["a.example", "b.example"]
