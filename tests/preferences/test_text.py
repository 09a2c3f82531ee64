"""All parts of Rankloop use the same definition of valid text."""

from __future__ import annotations

import io
import json
from http import HTTPStatus
from typing import Any

import pytest
from django.test import RequestFactory

from annotation.api import parsers
from annotation.content.drafts import BadDraft, ResponseDraft, TaskDraft, prepared
from annotation.forms import answer_form
from annotation.models import task
from config.problems import Problem
from config.requests.wellformed import wellformed_request
from preferences import text
from preferences.formats.recognition import read_records
from preferences.text import MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS, name_fault, storage_fault, text_fault
from training.rlhf.data.rankings import Ranking

LONGEST = "x" * MAX_TEXT_CHARACTERS
PROMPT = ({"role": "user", "content": "Which?"},)
UNSTORABLE = ["a\x00b", "half \ud83d", "a byte \udcff"]


def imported(row: dict[str, Any]) -> str:
    (line,) = read_records(io.BytesIO(json.dumps(row).encode()), "rankloop")[1]
    return line.reason


def drafted(prompt: str, first: str, model: str = "") -> str:
    messages = ({"role": "user", "content": prompt},)
    try:
        prepared(TaskDraft(messages, [ResponseDraft(first, model), ResponseDraft("other")]))
    except BadDraft as error:
        return str(error)
    return ""


@pytest.mark.parametrize("good", ["", "plain", "Grüße 😀", "tab\tand\nline"])
def test_ordinary_text_is_valid(good: str) -> None:
    assert storage_fault(good) is text_fault(good) is None


@pytest.mark.parametrize("bad", UNSTORABLE)
def test_unstorable_text_is_rejected_everywhere_for_the_same_reason(bad: str) -> None:
    fault = storage_fault(bad)
    assert fault is not None
    assert text_fault(bad) == name_fault(bad) == fault
    assert fault in imported({"prompt": bad, "responses": ["a", "b"]})
    assert fault in imported({"prompt": "Q", "responses": [bad, "b"]})
    assert fault in imported({"prompt": "Q", "responses": ["a", "b"], "extra": {"k": bad}})
    assert fault in imported({"prompt": "Q", "responses": ["a", "b"], "tiers": [[0, 1]], "annotator": bad})
    assert fault in drafted(bad, "a")
    assert fault in drafted("Q", bad)
    assert fault in drafted("Q", "a", bad)
    with pytest.raises(Problem, match=fault):
        parsers._refuse_unstorable({"draft": {"a": [bad]}})
    with pytest.raises(ValueError, match=fault):
        answer_form._storable(bad)
    with pytest.raises(ValueError, match=fault):
        Ranking(PROMPT, ("a", bad), ((0,), (1,)))


def test_url_with_a_nul_character_is_refused() -> None:
    answer = wellformed_request(lambda request: None)
    for address in ("/projects/a%00b", "/projects/?q=a%00b"):
        assert answer(RequestFactory().get(address)).status_code == HTTPStatus.BAD_REQUEST
    assert answer(RequestFactory().get("/projects/?q=a")) is None


def test_text_limit_is_the_same_for_imports_and_drafts() -> None:
    too_long = text_fault(LONGEST + "x")
    assert too_long == "has 1,000,001 characters; the maximum is 1,000,000"
    assert text_fault(LONGEST) is None
    for text_at, reason in ((LONGEST, ""), (LONGEST + "x", too_long)):
        assert imported({"prompt": text_at, "responses": ["a", "b"]}).endswith(reason)
        assert imported({"prompt": "Q", "responses": [text_at, "b"]}).endswith(reason)
        assert drafted(text_at, "a").endswith(reason)
        assert drafted("Q", text_at).endswith(reason)
    assert not imported({"prompt": LONGEST, "responses": [LONGEST, "b"]})
    assert not drafted(LONGEST, LONGEST)


def test_name_limit_is_the_same_for_imports_and_drafts() -> None:
    longest = "m" * MAX_NAME_CHARACTERS
    for name, refused in ((longest, False), (longest + "m", True)):
        assert bool(drafted("Q", "a", name)) is refused
        assert bool(imported({"prompt": "Q", "responses": [{"text": "a", "model": name}, "b"]})) is refused
        row = {"prompt": "Q", "responses": ["a", "b"], "tiers": [[0], [1]], "annotator": name}
        assert bool(imported(row)) is refused


@pytest.mark.parametrize(("count", "refused"), [(1, True), (2, False), (10, False), (11, True)])
def test_limits_on_response_count_are_the_same_for_imports_and_drafts(count: int, refused: bool) -> None:
    texts = [f"response {number}" for number in range(count)]
    assert bool(imported({"prompt": "Q", "responses": texts})) is refused
    draft = TaskDraft(PROMPT, [ResponseDraft(each) for each in texts])
    if refused:
        with pytest.raises(BadDraft):
            prepared(draft)
    else:
        assert len(prepared(draft).response_hashes) == count


@pytest.mark.parametrize("role", ["system", "user", "tool", "narrator", "assistant ", "critic"])
def test_roles_are_the_same_for_imports_and_drafts(role: str) -> None:
    messages = ({"role": role, "content": "Q"},)
    refused = role not in text.ROLES
    assert bool(imported({"messages": list(messages), "responses": ["a", "b"]})) is refused
    draft = TaskDraft(messages, [ResponseDraft("a"), ResponseDraft("b")])
    if refused:
        with pytest.raises(BadDraft):
            prepared(draft)
    else:
        prepared(draft)


def test_answer_form_and_task_table_use_the_same_limits_on_response_count() -> None:
    assert (answer_form.Span().min, answer_form.Span().max) == (text.MIN_RESPONSES, text.MAX_RESPONSES)
    assert vars(task)["MAX_RESPONSES"] == text.MAX_RESPONSES
