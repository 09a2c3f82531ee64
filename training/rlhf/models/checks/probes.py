"""Encode a few conversations with a model's tokenizer and chat template, without transformers.

A chat template is a program that comes with a model. A launch therefore renders it in a separate process with
limits on time and memory, and without the web process's environment variables: `python -m
training.rlhf.models.checks.probes FOLDER ARGUMENTS CPU_SECONDS` prints the result. As in transformers, the
template runs in Jinja's immutable sandbox with `raise_exception`, `strftime_now`, `tojson` and
`{% generation %}`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from jinja2 import Environment, TemplateError

from training.rlhf.core.messages import Messages, plain_text
from training.rlhf.models.checks.files import State, state_of
from training.rlhf.models.checks.tokenizer import TOKENIZER, TokenizerFiles, tokenizer_in
from training.rlhf.models.files.json_files import READING_ERRORS

ASKED = {"role": "user", "content": "How many days are in 2 weeks?\nAnswer with a number."}
TOLD = {"role": "system", "content": "You are a helpful assistant."}
ANSWERED = {"role": "assistant", "content": "14 days."}
CALLED = {"role": "tool", "content": '{"days": 14}'}
PROBES: Mapping[str, Messages] = {
    "a question": (ASKED,),
    "a question after a system turn": (TOLD, ASKED),
    "a second question": (ASKED, ANSWERED, {"role": "user", "content": "And in 3 weeks?"}),
    "a question with spaces around it": ({"role": "user", "content": "  text \n"},),
    "the result of a tool": (ASKED, ANSWERED, CALLED),
}
NO_ARGUMENTS: Mapping[str, Any] = {}
# Probes that are compared only if both templates accept them.
OPTIONAL = {"the result of a tool"}
# The date that templates see in every probe. Templates such as that of Llama 3.1 write the current date. The
# encoded probes of each model are cached. Without a fixed date, the probes of two models could therefore
# contain different dates.
NOW = datetime(2024, 7, 26)
READING_SECONDS = 20  # elapsed time; usually enough even on a busy machine
CPU_SECONDS = 10
MAX_TOKENS = 10_000  # per probe
MAX_OUTPUT_BYTES = 1_000_000
SHOWN_CHARACTERS = 160
# A template is a program, which can fail in any way.
TEMPLATE_ERRORS = (TemplateError, *READING_ERRORS)
READING_BYTES = 4 * 2**30  # address space; the largest known tokenizers need less than 1 GB


@dataclass(frozen=True)
class Reading:
    """Each of `PROBES` as a model reads it: the token IDs and their (shortened) text, or None and an empty
    text if the chat template rejects the conversation. `end` is the token at the end of an answer."""

    ids: list[list[int] | None]
    texts: list[str]
    end: str


class ReadingTimedOut(Exception):
    """Raised if the separate process did not finish in time. The cause is a busy machine: a process that
    itself uses too much CPU time is stopped earlier."""


def reading_of_folder(folder: Path, arguments: Mapping[str, Any] = NO_ARGUMENTS) -> Reading | None:
    """Return how the tokenizer in a folder reads `PROBES` with these template arguments, or None if this
    can't be determined. Raises ReadingTimedOut."""
    return _read_elsewhere(folder.absolute(), json.dumps(dict(arguments)), state_of(folder))


@lru_cache(maxsize=64)
def _read_elsewhere(folder: Path, arguments: str, state: State) -> Reading | None:
    # The process can't write more than MAX_OUTPUT_BYTES into the file.
    with TemporaryFile() as output:
        try:
            subprocess.run(
                [sys.executable, "-m", __name__, str(folder), arguments, str(CPU_SECONDS)],
                cwd=Path(__file__).parents[4],
                env={"PATH": os.environ.get("PATH", "")},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                timeout=READING_SECONDS,
                check=True,
            )
            output.seek(0)
            return Reading(**json.loads(output.read(MAX_OUTPUT_BYTES)))
        except subprocess.TimeoutExpired as error:
            raise ReadingTimedOut(str(folder)) from error
        except (OSError, ValueError, TypeError, RecursionError, subprocess.SubprocessError):
            return None


def read_folder(folder: Path, arguments: Mapping[str, Any] = NO_ARGUMENTS) -> Reading:
    """Encode `PROBES` as `chat.encode_prompt` does. Raises ValueError for a tokenizer that can't be read, and
    for a template that writes much more than the conversation."""
    from tokenizers import Tokenizer

    files = tokenizer_in(folder)
    if files is None:
        raise ValueError(f"{folder} has no {TOKENIZER}")
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    end = files.roles.get("eos_token") or files.roles.get("sep_token", "")
    ids = [encode(tokenizer, files, messages, arguments) for messages in PROBES.values()]
    if any(one is not None and len(one) > MAX_TOKENS for one in ids):
        raise ValueError(f"a probe has more than {MAX_TOKENS} tokens")
    decoded = ["" if one is None else str(tokenizer.decode(one, skip_special_tokens=False)) for one in ids]
    texts = [shortened(text) for text in decoded]
    return Reading(ids, texts, end)


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def encode(
    tokenizer: Any, files: TokenizerFiles, messages: Messages, arguments: Mapping[str, Any]
) -> list[int] | None:
    if files.template:
        text = render(files, messages, arguments)
        return None if text is None else list(tokenizer.encode(text, add_special_tokens=False).ids)
    first = files.roles.get("bos_token") or files.roles.get("cls_token")
    ids = list(tokenizer.encode(plain_text(messages), add_special_tokens=False).ids)
    return ids if first is None else [files.tokens[first], *ids]


def render(files: TokenizerFiles, messages: Messages, arguments: Mapping[str, Any]) -> str | None:
    """Return the conversation as text with the generation prompt, or None if the template rejects it."""
    turns = [dict(turn) for turn in messages]
    given = {"messages": turns, "tools": None, "documents": None, "add_generation_prompt": True}
    try:
        return environment().from_string(files.template).render(**{**files.named, **arguments, **given})
    except TEMPLATE_ERRORS:
        return None


def environment() -> Environment:
    """Return an environment for chat templates, like that of transformers."""
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The tag `{% generation %}`, which marks the assistant's words and does not change the text."""

        tags = {"generation"}

        def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def reject(message: str) -> None:
        raise TemplateError(message)

    def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    made.filters["tojson"] = to_json
    made.globals["raise_exception"] = reject
    made.globals["strftime_now"] = NOW.strftime
    return made


def main() -> None:
    cpu_seconds = int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_OUTPUT_BYTES, MAX_OUTPUT_BYTES))
    resource.setrlimit(resource.RLIMIT_AS, (READING_BYTES, READING_BYTES))
    sys.stdout.write(json.dumps(asdict(read_folder(Path(sys.argv[1]), json.loads(sys.argv[2])))))


if __name__ == "__main__":
    main()
