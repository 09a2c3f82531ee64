"""Links between the documents work, and every guide can be reached from the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
_COMMAND = re.compile(r"`manage\.py ([^`]+)`")
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def linked_from(document: Path) -> set[Path]:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(), flags=re.DOTALL)
    links = {link for link in _LINK.findall(text) if "://" not in link}
    return {(document.parent / link).resolve() for link in links}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    assert not [path for path in linked_from(document) if not path.exists()]


def test_every_guide_can_be_reached_from_the_readme() -> None:
    found, left = set[Path](), [ROOT / "README.md"]
    while left:
        for path in linked_from(left.pop()) - found:
            found.add(path)
            if path.suffix == ".md" and path.exists():
                left.append(path)
    assert set(ROOT.glob("docs/*.md")) <= found


@pytest.mark.parametrize("line", sorted(set(_COMMAND.findall((ROOT / "docs" / "accounts.md").read_text()))))
def test_commands_in_the_accounts_guide_exist(line: str) -> None:
    name, *options = line.split()
    known = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    assert known.parse_args(options)


_NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize(
    ("file", "name"), sorted(set(_NAMED_TEST.findall((ROOT / "docs" / "security.md").read_text())))
)
def test_every_promise_on_the_security_page_has_a_test(file: str, name: str) -> None:
    assert f"def {name or 'test_'}" in (ROOT / file).read_text(encoding="utf-8")
