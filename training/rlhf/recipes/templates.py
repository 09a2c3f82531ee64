"""Arguments of the chat template, such as `enable_thinking`."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import Field, field_validator

from training.rlhf.recipes.base import Recipe

ARGUMENT = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*")
TEXT = re.compile(r"[^,]*")
# Set wherever a prompt is encoded. Special tokens have names that end in "_token".
RESERVED = {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message"} | {
    *("conversation", "chat_template", "tokenize", "padding", "truncation", "max_length"),
    *("return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"),
}


class UsesTemplate(Recipe):
    """A recipe for runs whose policy reads prompts in its chat template."""

    template_arguments: str = Field(
        "",
        max_length=2000,
        description="Arguments of the policy's chat template, for example enable_thinking=false, "
        "reasoning_effort=low. Values are JSON; other values are text. The arguments are saved with the "
        "model, so later runs from this model use them, too. An argument that the template does not use is "
        "refused.",
    )

    @field_validator("template_arguments")
    @classmethod
    def _parses(cls, text: str) -> str:
        parse_arguments(text)
        return text

    @property
    def arguments_of_template(self) -> dict[str, Any]:
        return parse_arguments(self.template_arguments)


def parse_arguments(text: str) -> dict[str, Any]:
    """Parse `name=value, name=value`. A value is a JSON literal or, if it isn't valid JSON, text without a
    comma. Raises ValueError."""
    found: dict[str, Any] = {}
    at = 0
    while at < len(text.rstrip()):
        named = ARGUMENT.match(text, at)
        if named is None:
            raise ValueError(f"expected name=value, separated by commas, but got {text[at:].strip()!r}")
        name, at = named[1], named.end()
        if name in RESERVED or name.endswith("_token"):
            raise ValueError(f"{name} can't be set, because it is set wherever a prompt is encoded")
        if name in found:
            raise ValueError(f"{name} is given twice")
        found[name], at = _value(name, text, at)
    return found


def _value(name: str, text: str, at: int) -> tuple[Any, int]:
    """Return the value that starts at this position, and the position after its comma."""
    try:
        value, end = json.JSONDecoder(parse_constant=_no_constant).raw_decode(text, at)
        rest = TEXT.match(text, end)
        if rest is not None and not rest[0].strip():
            return value, rest.end() + 1
    except ValueError:
        pass
    plain = TEXT.match(text, at)
    assert plain is not None  # the pattern also matches an empty text
    if not (value := plain[0].strip()):
        raise ValueError(f"{name} has no value")
    return value, plain.end() + 1


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
