"""docs/answer-forms.md lists every part of a form, and every preset with its number of responses."""

from __future__ import annotations

from pathlib import Path

from annotation.desk.answers import Answer
from annotation.forms.answer_form import AnswerForm
from annotation.forms.presets import PRESETS

TEXT = (Path(__file__).parents[3] / "docs" / "answer-forms.md").read_text()


def test_document_names_every_part_of_forms_and_answers() -> None:
    parts, answers, *_ = TEXT.split("## ")
    assert [name for name in AnswerForm.model_fields if f"`{name}`" not in parts] == []
    said = set(Answer.__dataclass_fields__) - {"touched", "duration_ms"}
    assert [name for name in sorted(said) if f'"{name}"' not in answers] == []


def test_document_names_every_preset_with_its_size() -> None:
    rows = [line.split("|") for line in TEXT.split("## Presets")[1].splitlines() if line.startswith("| `")]
    sizes = {row[1].strip(" `"): row[2].strip().replace("–", " to ") for row in rows}
    assert sizes == {name: str(form.responses) for name, form in PRESETS.items()}
