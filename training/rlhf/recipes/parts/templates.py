"""Arguments of the chat template, such as `enable_thinking`."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.parts.pairs import parse_pairs

# Arguments that are set when a prompt is encoded. The encoding also sets the special tokens, whose names end
# in "_token".
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
        "reasoning_effort=low. Values are parsed as JSON. A value that is not valid JSON is used as text. "
        "The arguments are saved with the model, so later runs from this model use them, too. An argument "
        "that the template does not use is refused.",
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
    """Parse `name=value, name=value`. Raises ValueError."""
    found: dict[str, Any] = {}
    for name, value in parse_pairs(text):
        if not name.isidentifier():
            raise ValueError(f"{name!r} is not a name that a template can use")
        if name in RESERVED or name.endswith("_token"):
            raise ValueError(f"{name} can't be set, because Rankloop sets it for every prompt")
        if name in found:
            raise ValueError(f"{name} is given twice")
        found[name] = value
    return found
