"""Settings for generation by a server."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from training.rlhf.recipes.parts.base import Recipe

DEFAULT_PORTS = {"http": 80, "https": 443}
FULL_TRAINING = (
    "a server can't load all weights of a policy after each update. Set `use_peft` to true to train an"
    " adapter, or leave `server` empty"
)


class UsesServer(Recipe):
    """Settings of the server that generates the answers of a run. They do not change the policy's
    distribution."""

    server: str = Field(
        "",
        max_length=500,
        description="Address of an OpenAI-compatible server that generates the answers, for example"
        " http://gpu-1:8000. The operator lists the allowed servers in RANKLOOP_GENERATION_SERVERS. If empty,"
        " the run generates its answers itself.",
    )
    server_model: str = Field(
        "",
        max_length=500,
        description="The policy's name on the server. If the run trains an adapter, enter the name of the"
        " adapter's base model.",
    )
    server_connections: int = Field(
        32, ge=1, le=1024, description="Maximum number of concurrent requests to the server."
    )
    server_timeout: float = Field(
        600.0,
        gt=0,
        le=86_400,
        description="Number of seconds after which a request to the server counts as failed. Each request"
        " covers all answers to one prompt.",
    )

    @field_validator("server")
    @classmethod
    def _address_is_usable(cls, text: str) -> str:
        return server_address(text) if text else text

    @model_validator(mode="after")
    def _server_is_complete(self) -> Self:
        if bool(self.server) != bool(self.server_model):
            raise ValueError("server and server_model must be set together")
        return self


def server_address(text: str) -> str:
    """Return a server's address in its normal form, `scheme://host:port/path` without `/v1` at the end. All
    spellings of the same address have the same normal form. Raises ValueError if the text is not such an
    address.
    """
    text = text.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("the address of a server must consist of printable ASCII characters")
    parts = urlsplit(text)
    port = parts.port  # raises ValueError if the port is out of range
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ValueError("the address of a server must look like http://gpu-1:8000 or https://gpu-1:8000")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the address of a server must not contain a password: use RANKLOOP_GENERATION_KEY")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("the address of a server must not contain ? or #")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    at = host if port in (None, DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{at}{path}"
