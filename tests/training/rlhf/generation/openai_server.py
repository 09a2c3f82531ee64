"""A small server with the API of vLLM's OpenAI-compatible server, and a real model behind it.

The server follows vLLM 0.20: `/v1/models`, `/v1/completions` with token IDs, and LoRA adapters that are
loaded while the server runs. By default, samples are drawn with `torch.multinomial`, so that their
distribution does not depend on the code under test. With `local_seeds`, Rankloop's own sampler draws them.
"""

from __future__ import annotations

import copy
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from training.rlhf.generation.decoding import generate
from training.rlhf.models.loading.sources import Loaded

Json = dict[str, Any]
NAME = "tiny"


class Refuse(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class OpenAIServer:
    """`adapters` maps the names of loaded adapters to their models. `requests` are the bodies of all requests
    for completions, and `counts` counts requests by path.

    `noise` is added to the returned log-probabilities. With `raw`, these log-probabilities are at temperature
    1, as they are by default in vLLM. `change` modifies each response before it is sent.
    """

    loaded: Loaded
    name: str = NAME
    key: str = ""
    raw: bool = False
    local_seeds: bool = False
    noise: float = 0.0
    max_model_len: int = 128
    lora: bool = True
    change: Callable[[Json], Any] = lambda found: found
    before: Callable[[str], None] = lambda path: None
    adapters: dict[str, Any] = field(default_factory=dict)
    requests: list[Json] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    port: int = 0
    killed: threading.Event = field(default_factory=threading.Event)
    _http: ThreadingHTTPServer | None = None
    _lines: list[socket.socket] = field(default_factory=list)
    _model: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server without adapters. A server that has been stopped starts again on the same port."""
        self.adapters.clear()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._answer(None)

            def do_POST(self) -> None:
                self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _answer(self, body: Json | None) -> None:
                if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
                    return self._send(401, {"error": "Unauthorized"})
                server.counts[self.path] += 1
                try:
                    found = server.answer(self.path, body)
                    self._send(200, found)
                except Refuse as refused:
                    self._send(refused.status, {"error": {"message": str(refused), "code": refused.status}})
                except Exception as error:  # as in vLLM, the status after a server fault is 500
                    self._send(500, {"error": {"message": repr(error), "code": 500}})

            def _send(self, status: int, found: Any) -> None:
                data = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self) -> Any:
                found = super().get_request()
                server._lines.append(found[0])
                return found

            def handle_error(self, *_: Any) -> None:
                pass  # a client that is cancelled closes its connections

        self._http = Server(("127.0.0.1", self.port), Handler)
        self.port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http = None
        for line in self._lines:  # a killed process closes all its connections
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self._lines.clear()

    def answer(self, path: str, body: Json | None) -> Any:
        self.before(path)
        if body is None and path == "/v1/models":
            names = [self.name, *self.adapters]
            return {"object": "list", "data": [{"id": one, "object": "model"} for one in names]}
        if body is not None and path == "/v1/completions":
            return self.change(self._completions(body))
        if body is not None and self.lora and path == "/v1/load_lora_adapter":
            return self._load(body)
        if body is not None and self.lora and path == "/v1/unload_lora_adapter":
            if self.adapters.pop(body["lora_name"], None) is None:
                raise Refuse(404, f"The lora adapter '{body['lora_name']}' cannot be found.")
            return f"Success: LoRA adapter '{body['lora_name']}' removed successfully."
        raise Refuse(404, "Not Found")

    def _load(self, body: Json) -> str:
        name, path = body["lora_name"], body["lora_path"]
        if name in self.adapters:
            raise Refuse(400, f"The lora adapter '{name}' has already been loaded.")
        if not Path(path, "adapter_config.json").exists():
            raise Refuse(404, f"Loading lora {name} failed: No adapter found for {path}")
        base = copy.deepcopy(self.loaded.model)
        self.adapters[name] = PeftModel.from_pretrained(base, path).eval()
        return f"Success: LoRA adapter '{name}' added successfully."

    def _completions(self, body: Json) -> Json:
        self.requests.append(body)
        if body["model"] != self.name and body["model"] not in self.adapters:
            raise Refuse(404, f"The model `{body['model']}` does not exist.")
        model = self.adapters.get(body["model"], self.loaded.model)
        words = self.loaded.tokenizer
        prompt = body["prompt"]
        if isinstance(prompt, str):
            prompt = words(prompt, add_special_tokens=body.get("add_special_tokens", True))["input_ids"]
        if body["temperature"] == 0 and body.get("n", 1) > 1:
            raise Refuse(400, "n must be 1 when using greedy sampling, got 2.")
        if len(prompt) >= self.max_model_len:
            raise Refuse(400, f"This model's maximum context length is {self.max_model_len} tokens.")
        limit = min(body["max_tokens"], self.max_model_len - len(prompt))
        with self._model:
            rows = self._sampled(model, prompt, body, limit)
            choices = [self._choice(model, prompt, ids, body, number) for number, ids in enumerate(rows)]
        return {"object": "text_completion", "model": body["model"], "choices": choices}

    def _sampled(self, model: Any, prompt: list[int], body: Json, limit: int) -> list[list[int]]:
        n, temperature = body.get("n", 1), body["temperature"]
        if self.local_seeds and "seed" in body:
            [found] = generate(
                model,
                self.loaded.tokenizer,
                [prompt],
                n=n,
                max_new_tokens=limit,
                temperature=temperature,
                top_p=body["top_p"],
                seed=[body["seed"]],
            )
            return [one.ids for one in found]
        stops = {*body.get("stop_token_ids", ()), self.loaded.tokenizer.eos_token_id}
        bias = torch.zeros(model.config.vocab_size)
        for number, value in body.get("logit_bias", {}).items():
            bias[int(number)] = value
        rows = []
        for number in range(n):
            generator = torch.Generator().manual_seed(body.get("seed", 0) + number)
            ids: list[int] = []
            while len(ids) < limit and not (ids and ids[-1] in stops):
                logits = logits_of(model, [*prompt, *ids])[-1] + bias
                if temperature == 0:
                    ids.append(int(logits.argmax()))
                else:
                    chances = torch.softmax(logits / temperature, dim=-1)
                    ids.append(int(torch.multinomial(chances, 1, generator=generator)))
            rows.append(ids)
        return rows

    def _choice(self, model: Any, prompt: list[int], ids: list[int], body: Json, number: int) -> Json:
        temperature = 1.0 if self.raw or body["temperature"] == 0 else body["temperature"]
        logits = logits_of(model, [*prompt, *ids])[len(prompt) - 1 : -1] / temperature
        log_probs = torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
        if self.noise:
            log_probs = log_probs + self.noise * torch.randn(
                len(ids), generator=torch.Generator().manual_seed(7)
            )
        stopped = ids[-1] in {*body.get("stop_token_ids", ()), self.loaded.tokenizer.eos_token_id}
        content = ids[:-1] if stopped else ids
        choice: Json = {
            "index": number,
            "text": self.loaded.tokenizer.decode(content, skip_special_tokens=True),
            "finish_reason": "stop" if stopped else "length",
            "stop_reason": None,
        }
        if body.get("logprobs") is not None:
            choice["logprobs"] = {
                "tokens": [f"token_id:{one}" for one in ids],
                "token_logprobs": [max(one, -9999.0) for one in log_probs.tolist()],
            }
        if body.get("return_token_ids"):
            choice |= {"token_ids": ids, "prompt_token_ids": prompt}
        return choice


@torch.no_grad()
def logits_of(model: Any, ids: list[int]) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0].float()
    return found


@contextmanager
def serving(loaded: Loaded, **settings: Any) -> Iterator[OpenAIServer]:
    server = OpenAIServer(Loaded(copy.deepcopy(loaded.model), loaded.tokenizer), **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def wait_until(happened: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)
