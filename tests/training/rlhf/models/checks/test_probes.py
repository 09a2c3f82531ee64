"""A launch encodes a few conversations without transformers, in a separate process. The token IDs match
those of transformers, and a template can neither block the launch nor read environment variables."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from tests.training.rlhf import tiny
from tests.training.rlhf.small_world import tokenizer as demo_tokenizer
from training.rlhf.models.checks import probes
from training.rlhf.models.checks.probes import PROBES, SHOWN_CHARACTERS, ReadingTimedOut, reading_of_folder
from training.rlhf.models.loading.pairs import reading_of

ROOT = Path(__file__).parents[5]
TEMPLATES = {
    "none": "",
    "chatml": "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "special tokens": "{{ bos_token }}{% for m in messages %}{{ m.content | trim }}"
    "{{ eos_token }}{% endfor %}",
    "a default system turn": "{% if messages[0]['role'] != 'system' %}Be good. {% endif %}"
    "{% for m in messages %}{{ m['content'] }}{% endfor %}",
    "an alternation": "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ m['content'] }}{% endfor %}",
    "marked answers and a date": "{{ strftime_now('%Y') | length }}{% for m in messages %}"
    "{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m | tojson }}{% endif %}"
    "{% if loop.last %}{% break %}{% endif %}{% endfor %}",
    "no tools": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ m.content }}"
    "{% endfor %}{% if tools %}tools{% endif %}{{ ns.n }}",
    "an error": "{{ messages[9].content.text }}",
    "a Python error": "{{ messages[1].content + 1 if messages | length == 2 else 'w1' }}",
}
TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "words": tiny.tokenizer,
    "bytes": tiny.byte_level_tokenizer,
    "encoder": tiny.encoder_tokenizer,
    "demo world": lambda: PreTrainedTokenizerFast(
        tokenizer_object=demo_tokenizer().backend_tokenizer, **demo_tokenizer().special_tokens_map
    ),
}


@pytest.mark.parametrize("words", TOKENIZERS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_probes_encoded_from_the_files_match_transformers(words: str, template: str, tmp_path: Path) -> None:
    tokenizer = TOKENIZERS[words]()
    tokenizer.chat_template = TEMPLATES[template] or None
    tokenizer.save_pretrained(tmp_path)
    read, expected = probes.read_folder(tmp_path), reading_of(tokenizer)
    assert (read.ids, read.end) == (expected.ids, expected.end)
    assert read.texts == expected.texts
    assert read.ids.count(None) == {
        "an alternation": 2,
        "an error": len(PROBES),
        "a Python error": 1,
    }.get(template, 0)


def test_template_in_the_tokenizer_config_can_be_a_string_or_a_list(tmp_path: Path) -> None:
    tiny.tokenizer().save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    named = [{"name": "tool_use", "template": "w8"}, {"name": "default", "template": "w9"}]
    for template in ("w9", named):
        file.write_text(json.dumps(settings | {"chat_template": template}))
        assert probes.read_folder(tmp_path).texts == ["w9"] * len(PROBES)


def test_separate_process_encodes_the_probes_identically(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = TEMPLATES["special tokens"]
    tokenizer.save_pretrained(tmp_path)
    assert reading_of_folder(tmp_path) == probes.read_folder(tmp_path)


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 99999999999 }}",
        "{% for m in",
        "{{ messages.__class__.__mro__ }}",
    ],
    ids=["endless", "huge", "invalid", "escape"],
)
def test_harmful_template_is_not_used_to_encode_probes(
    template: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "CPU_SECONDS", 3)
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(tmp_path)
    reading = reading_of_folder(tmp_path)
    assert reading is None or reading.ids == [None] * len(PROBES)


def test_folder_is_read_again_after_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine can cause a timeout, so a timeout must not be cached as a property of the model."""
    tiny.tokenizer().save_pretrained(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(probes, "READING_SECONDS", 0.001)
        with pytest.raises(ReadingTimedOut):
            reading_of_folder(tmp_path)
    assert reading_of_folder(tmp_path) == probes.read_folder(tmp_path)


def test_probes_with_too_many_tokens_are_refused_and_long_texts_are_shortened(tmp_path: Path) -> None:
    tokenizer = tiny.tokenizer()
    for words, found in ((2_000, True), (10_001, False)):
        tokenizer.chat_template = "{{ 'w1 ' * " + str(words) + " }}"
        tokenizer.save_pretrained(tmp_path)
        reading = reading_of_folder(tmp_path)
        assert (reading is not None) == found
        if reading is not None:
            assert [len(ids or ()) for ids in reading.ids] == [words] * len(PROBES)
            assert {len(text) for text in reading.texts} == {SHOWN_CHARACTERS + 1}
            assert reading == reading_of(tokenizer)


def test_date_in_a_template_is_the_same_on_every_day(tmp_path: Path) -> None:
    """The template of Llama 3.1 writes the current date. A policy and a reward model can be read on different
    days."""
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = "{{ strftime_now('w%d') }}"
    tokenizer.save_pretrained(tmp_path)
    assert probes.read_folder(tmp_path).texts == ["w26"] * len(PROBES)


def test_checks_import_neither_torch_nor_transformers() -> None:
    code = (
        "import sys; import training.rlhf.models.checks.model, training.rlhf.models.checks.reward; "
        "import training.rlhf.models.checks.pair; "
        "sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
