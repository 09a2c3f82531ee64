"""Check whether a chat template uses its arguments, such as `enable_thinking`."""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import meta

from training.rlhf.core.failures import FailureKind
from training.rlhf.models.checks.probes import TEMPLATE_ERRORS, environment
from training.rlhf.models.checks.refusal import Refused


def refuse_unused(arguments: Iterable[str], template: str) -> None:
    """Raise Refused for an argument that the template does not use. Such an argument is probably misspelt,
    and the run would silently encode its prompts without the intended argument."""
    used = names_in(template)
    if unused := [name for name in arguments if name not in used]:
        why = "does not use it" if template else "is missing"
        others = f" The template's own arguments are: {', '.join(sorted(used))}." if used else ""
        raise Refused(
            f"template_arguments contains {unused[0]}, but the model's chat template {why}.{others}",
            FailureKind.INPUTS_REFUSED,
        )


def names_in(template: str) -> set[str]:
    """Return the names that the template reads from its arguments, except those that are always set."""
    try:
        found = meta.find_undeclared_variables(environment().parse(template))
    except TEMPLATE_ERRORS:
        return set()
    known = {"messages", "tools", "documents", "add_generation_prompt", *environment().globals}
    return {name for name in found if name not in known and not name.endswith("_token")}
