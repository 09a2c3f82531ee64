"""A damaged, hostile or very large file in a model's folder makes the model unreadable. The error names the
file, and a launch returns this error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.training.rlhf.models.broken_models import edit_json, saved
from training.rlhf.core.failures import FailureKind
from training.rlhf.models.checks import files, tokenizer
from training.rlhf.models.checks.model import check_model
from training.rlhf.models.checks.refusal import Purpose, Refused
from training.rlhf.models.files import adapters, headers, json_files, shapes

torch.set_num_threads(1)
DEEP, HUGE = "[" * 100_000, '{"a": ' + "1" * 5000 + "}"
INDEX = "model.safetensors.index.json"


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def edit(name: str = "config.json", **changes: object) -> Callable[[Path], object]:
    return lambda folder: edit_json(folder, name, **changes)


def with_header(header: str) -> Callable[[Path], object]:
    written = len(header).to_bytes(8, "little") + header.encode()
    return lambda folder: (folder / "model.safetensors").write_bytes(written)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "deep tokenizer": (
        write("tokenizer.json", DEEP),
        "tokenizer.json can't be read: it is nested too deeply",
    ),
    "deep config": (write("config.json", DEEP), "config.json can't be read: it is nested too deeply"),
    "deep index": (write(INDEX, DEEP), INDEX),
    "deep header": (with_header(DEEP), "the header of model.safetensors can't be read"),
    "infinite token": (
        write("tokenizer.json", '{"model": {"vocab": {"a": Infinity}}}'),
        "tokenizer.json or tokenizer_config.json can't be read",
    ),
    "infinite shape": (
        with_header('{"a": {"shape": [Infinity], "data_offsets": [0, 0]}}'),
        "the header of model.safetensors can't be read",
    ),
    "huge number": (write("config.json", HUGE), "config.json can't be read"),
    "not text": (lambda folder: (folder / "config.json").write_bytes(b"\xff{}"), "config.json can't be read"),
    "list of tokens": (write("tokenizer.json", '{"model": {"vocab": [[]]}}'), "tokenizer.json or"),
    "added tokens": (edit("tokenizer.json", added_tokens=1), "tokenizer.json or"),
    "settings of tokens": (edit("tokenizer_config.json", added_tokens_decoder=[1]), "tokenizer.json or"),
    "template": (edit("tokenizer_config.json", chat_template=[1]), "tokenizer.json or"),
    "type": (edit(model_type=["x"]), "config.json has model_type=['x'], which is not text"),
    "layers": (edit(num_hidden_layers="2"), "num_hidden_layers='2', which is not a whole number"),
    "very many layers": (
        edit(num_hidden_layers=10**15),
        "no weights for layers 2, 3, 4, 5, 6 and more.",
    ),
    "rows": (edit(vocab_size=[1]), "config.json has vocab_size=[1], which is not a whole number"),
    "quantisation": (edit(quantization_config="x"), "quantization_config='x', which is not an object"),
    "architectures": (edit(architectures="x"), "config.json has architectures='x', which is not a list"),
    "index of numbers": (write(INDEX, '{"weight_map": {"a": 1, "b": ["c"]}}'), f"{INDEX} lists"),
    "index of nothing": (write(INDEX, '{"weight_map": 1}'), f"{INDEX} lists no files"),
    "long name": (write(INDEX, json.dumps({"weight_map": {"a": "b" * 5000}})), f"{INDEX} lists"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_makes_the_model_unreadable(case: str, tmp_path: Path) -> None:
    breaking, reason = BROKEN[case]
    folder = saved(tmp_path / "policy")
    breaking(folder)
    with pytest.raises(Refused) as caught:
        check_model(folder, Purpose.POLICY)
    assert caught.value.kind == FailureKind.MODEL_UNREADABLE
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 6000


@pytest.mark.parametrize("case", [DEEP, HUGE, '{"hidden_size": 1, "model_type": ["x"]}', "[]"])
def test_size_of_a_model_with_broken_settings_is_unknown(case: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(case)
    with pytest.raises(shapes.UnknownShape, match=r"config\.json"):
        shapes.shape_in(tmp_path)


def test_size_of_a_model_with_config_values_of_the_wrong_type_is_unknown(tmp_path: Path) -> None:
    folder = saved(tmp_path / "policy")
    for changes in ({"model_type": ["x"]}, {"head_dim": "x"}, {"num_key_value_heads": [1]}):
        kept = (folder / "config.json").read_text()
        edit_json(folder, **changes)
        with pytest.raises(shapes.UnknownShape, match=r"config\.json can't be read"):
            shapes.shape_in(folder)
        (folder / "config.json").write_text(kept)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (DEEP, "adapter_config.json can't be read: it is nested too deeply"),
        ({"modules_to_save": 1}, "modules_to_save in adapter_config.json is not a list of names"),
        ({"modules_to_save": [["score"]]}, "modules_to_save in adapter_config.json is not a list of names"),
        ({"modules_to_save": "score"}, "modules_to_save in adapter_config.json is not a list of names"),
        ({"base_model_name_or_path": ["x"]}, "does not name the model"),
    ],
)
def test_adapter_with_broken_settings_is_unreadable(settings: object, reason: str, tmp_path: Path) -> None:
    base = saved(tmp_path / "policy")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    whole = {"base_model_name_or_path": str(base), "peft_type": "LORA"}
    written = json.dumps(whole | settings) if isinstance(settings, dict) else str(settings)
    (adapter / "adapter_config.json").write_text(written)
    with pytest.raises(Refused) as caught:
        check_model(adapter, Purpose.POLICY)
    assert caught.value.kind == FailureKind.MODEL_UNREADABLE
    assert reason in str(caught.value)


def test_overlong_path_is_not_recognised_as_a_model() -> None:
    assert not adapters.holds_model("/" + "a" * 5000)
    assert not adapters.looks_like_path("a" * 5000)


def test_files_that_are_too_large_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "policy")
    check_model(folder, Purpose.POLICY)
    for name, limit in (("config.json", 10), ("tokenizer.json", 100)):
        kept = (folder / name).read_text()
        (folder / name).write_text(kept + " " * (limit * 1_000_000))
        with pytest.raises(Refused, match=rf"{name} is larger than {limit} MB"):
            check_model(folder, Purpose.POLICY)
        (folder / name).write_text(kept)
    (folder / "chat_template.jinja").write_text(" " * 10_000_001)
    with pytest.raises(Refused, match=r"chat_template.jinja is larger than 10 MB"):
        check_model(folder, Purpose.POLICY)
    (folder / "chat_template.jinja").unlink()
    monkeypatch.setattr(headers, "MAX_HEADERS_BYTES", 1000)
    with pytest.raises(Refused, match="the headers of the safetensors files take more than"):
        check_model(folder, Purpose.POLICY)


def test_model_with_too_many_files_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "policy")
    names = {str(n): f"{n}.safetensors" for n in range(headers.MAX_FILES + 1)}
    for name in names.values():
        (folder / name).touch()
    (folder / INDEX).write_text(json.dumps({"weight_map": names}))
    with pytest.raises(Refused, match="1,001 safetensors files, more than 1,000"):
        check_model(folder, Purpose.POLICY)


def test_tokenizer_is_parsed_again_only_after_it_has_changed(tmp_path: Path) -> None:
    folder = saved(tmp_path / "policy")
    first = tokenizer.tokenizer_in(folder)
    assert tokenizer.tokenizer_in(folder) is first
    edit_json(folder, "tokenizer_config.json", chat_template="w1")
    changed = tokenizer.tokenizer_in(folder)
    assert changed is not None
    assert changed.template == "w1"


def test_folder_that_is_missing_or_has_a_broken_link_has_an_empty_state(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    assert files.state_of(tmp_path) == ()
    assert files.state_of(tmp_path / "nothing") == ()
    with pytest.raises(json_files.BrokenFile, match=r"config\.json can't be read: .*No such file"):
        json_files.object_in(tmp_path / "config.json")
