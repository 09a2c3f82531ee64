from __future__ import annotations

from pathlib import Path

import pytest

from config.env import BadEnvironment, env_list, env_secrets


def test_empty_items_of_a_list_variable_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_VARIABLE", " a.example , ,b.example,")
    assert env_list("A_VARIABLE") == ["a.example", "b.example"]
    monkeypatch.setenv("A_VARIABLE", " ")
    assert env_list("A_VARIABLE") == []


def test_secrets_are_read_from_a_list_or_from_the_lines_of_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("KEYS_FILE", raising=False)
    monkeypatch.setenv("KEYS", " one,two, ")
    assert env_secrets("KEYS") == ["one", "two"]
    (tmp_path / "keys").write_text("a,b\n\n c \n")
    monkeypatch.setenv("KEYS_FILE", str(tmp_path / "keys"))
    assert env_secrets("KEYS") == ["a,b", "c"]
    monkeypatch.setenv("KEYS_FILE", str(tmp_path / "none"))
    with pytest.raises(BadEnvironment, match="KEYS_FILE"):
        env_secrets("KEYS")
