"""The servers that runs may use to generate answers.

A run sends requests to its server from the worker's network. If a recipe could name any address, people who
launch runs could reach services that are accessible only from this network. For the same reason, a webhook
must have a public address. A generation server usually has a private address, so the operator lists the
allowed servers.
"""

from __future__ import annotations

from django.conf import settings

from training.rlhf.generation.server.access import ADAPTERS, Access
from training.rlhf.generation.server.failures import ServerUnusable
from training.rlhf.recipes.parts.base import Recipe
from training.rlhf.recipes.parts.servers import UsesServer, server_address
from training.rlhf.recipes.parts.weights import UsesLora

LIST = "RANKLOOP_GENERATION_SERVERS"


def generation_access() -> Access:
    """Return the operator's API key and adapter folder for generation servers."""
    return Access.parsed(settings.GENERATION_KEY, settings.GENERATION_ADAPTERS)


def refused_server(recipe: Recipe) -> str:
    """Return the reason why a run with this recipe must not use its server, or an empty string."""
    if not isinstance(recipe, UsesServer) or not recipe.server:
        return ""
    allowed, broken = [], []
    for text in settings.GENERATION_SERVERS:
        try:
            allowed.append(server_address(text))
        except ValueError:
            broken.append(text)
    if recipe.server in allowed:
        return _no_folder_for_adapters(recipe)
    if not settings.GENERATION_SERVERS:
        return f"No generation servers are allowed here. The operator lists them in {LIST}."
    wrong = f" These entries are not addresses: {', '.join(broken)}." if broken else ""
    return f"{recipe.server} is not in {LIST} ({', '.join(allowed)}).{wrong}"


def _no_folder_for_adapters(recipe: Recipe) -> str:
    """Return the reason why the run's adapter can't be passed to the server, or an empty string."""
    if not isinstance(recipe, UsesLora) or not recipe.use_peft:
        return ""
    try:
        folder = generation_access().adapters
    except ServerUnusable as error:
        return f"{str(error)[:1].upper()}{str(error)[1:]}."
    if folder is not None:
        return ""
    return (
        "The server can't load the adapter that this run trains: there is no folder for adapters. The"
        f" operator sets it in {ADAPTERS}."
    )
