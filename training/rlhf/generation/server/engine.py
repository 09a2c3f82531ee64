"""The engine that generates on a server: any OpenAI-compatible server that supports token IDs, such as
vLLM."""

from __future__ import annotations

import logging
import random
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Any

from training.rlhf.core.waiting import waiting
from training.rlhf.generation.interface import Completion, Sampling
from training.rlhf.generation.pulse import Pulse
from training.rlhf.generation.server.access import Access, current_access
from training.rlhf.generation.server.comparison import compare
from training.rlhf.generation.server.connections import Answer, Connections
from training.rlhf.generation.server.failures import ServerTrouble, ServerUnusable
from training.rlhf.generation.server.protocol import (
    Vocabulary,
    completion_request,
    json_of,
    read_completions,
)
from training.rlhf.generation.server.weights import ServedWeights
from training.rlhf.models.loading.sources import Loaded
from training.rlhf.models.parts.trunks import vocabulary_rows
from training.rlhf.models.tokens import chat
from training.rlhf.recipes.parts.servers import UsesServer

TICK_SECONDS = 0.2  # interval between two checks for cancellation
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
JITTER = 0.2  # a pause is extended by up to this share, so that waiting runs don't all retry at once
SHOWN_AFTER_SECONDS = 3.0  # shorter pauses are not shown on the run's page
# The maximum number of times that one request can fail while the server responds to other requests. After
# that, the request will probably never succeed, so the run fails.
MAX_ATTEMPTS = 5
# Different tokenizers usually split this text into different tokens.
PROBE = "Tokenizers differ: naïve café, 12345 + 67.89, isn't it? 你好\n\tdef f(x): return x"

logger = logging.getLogger(__name__)


class ServerEngine:
    """Generates on a server, which must offer the policy's weights or load the policy's adapter (`weights`).

    If the server is not responding or is overloaded, the engine waits. Answers that have already arrived are
    kept. The first call checks that the server has the model and the policy's tokenizer and weights. These
    checks are repeated after every outage of the server.
    """

    def __init__(self, settings: UsesServer, access: Access | None = None) -> None:
        access = access or current_access()
        self._settings = settings
        self._connections = Connections(settings.server, key=access.key, timeout=settings.server_timeout)
        self._weights = ServedWeights(self._connections, settings.server_model, access)
        self._greeted = self._compared = False
        # Whether the server's log-probabilities are at the sampling temperature, or None if this is unknown.
        # If it is unknown, the server's noise hides the difference from temperature 1, so either assumption
        # is nearly right.
        self._tempered: bool | None = None
        weakref.finalize(self, _leave, self._weights, self._connections)

    def generate(
        self,
        policy: Loaded,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        seeds: Sequence[int],
        check: Callable[[], None] = lambda: None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[list[Completion]]:
        _refuse_empty(prompts, seeds)
        cut, _ = chat.cut_prompts(prompts, chat.context_length(policy.model) - sampling.max_new_tokens)
        pulse = Pulse(check, progress, total=len(cut) * sampling.n)
        check()
        try:
            self._until_it_answers(policy, pulse)
            answers, newest = self._collect(policy, cut, sampling, seeds, pulse)
        except BaseException:
            self._connections.close()
            raise
        at_another_temperature = sampling.temperature not in (0, 1)
        if not self._compared or (at_another_temperature and self._tempered is None):
            self._tempered = compare(policy, [(cut[i], answers[i][0]) for i in newest], sampling)
            self._compared = True
        if not at_another_temperature or self._tempered is not False:
            return answers
        return [[one._replace(log_probs=None) for one in group] for group in answers]

    def _collect(
        self,
        policy: Loaded,
        prompts: list[list[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        pulse: Pulse,
    ) -> tuple[list[list[Completion]], list[int]]:
        """Send one request per prompt until all prompts have answers. The recipe limits how many requests run
        at the same time. Return the answers, and the indices of the prompts that were answered since the
        server last failed."""
        vocabulary = _vocabulary(policy)
        answers: dict[int, list[Completion]] = {}
        newest: list[int] = []
        unanswered, failures = deque(range(len(prompts))), Counter[int]()
        running: dict[Future[list[Completion]], int] = {}
        threads = ThreadPoolExecutor(
            max(1, min(self._settings.server_connections, len(prompts))), thread_name_prefix="generation"
        )
        try:
            while len(answers) < len(prompts):
                while unanswered and len(running) < self._settings.server_connections:
                    i = unanswered.popleft()
                    body = completion_request(self._weights.name, prompts[i], sampling, seeds[i], vocabulary)
                    asked = threads.submit(self._ask, body, prompts[i], sampling, vocabulary)
                    running[asked] = i
                done, _ = wait(running, timeout=TICK_SECONDS, return_when=FIRST_COMPLETED)
                pulse.beat()
                trouble: ServerTrouble | None = None
                for one in done:
                    i = running.pop(one)
                    try:
                        answers[i] = one.result()
                        newest.append(i)
                        failures.pop(i, None)
                        pulse.done += sampling.n
                    except ServerTrouble as error:
                        trouble = error
                        unanswered.append(i)
                        failures[i] += 1
                if trouble is not None:
                    most = max(failures.values())
                    if most >= MAX_ATTEMPTS and not trouble.busy:
                        raise ServerUnusable(
                            f"the server at {self._settings.server} failed {most} times to process the same"
                            f" request, although it responds to other requests: {trouble}"
                        ) from trouble
                    if not trouble.busy:
                        newest.clear()
                    if self._until_it_answers(policy, pulse, trouble, attempts=most):
                        failures.clear()  # the outage, not the requests, caused the failures
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
        return [answers[i] for i in range(len(prompts))], newest

    def _ask(
        self, body: Mapping[str, Any], prompt: list[int], sampling: Sampling, vocabulary: Vocabulary
    ) -> list[Completion]:
        return read_completions(self._answer_to(body), prompt, sampling, vocabulary)

    def _until_it_answers(
        self, policy: Loaded, pulse: Pulse, trouble: ServerTrouble | None = None, *, attempts: int = 1
    ) -> bool:
        """Wait until the server responds and offers the policy's weights. Return whether the server was
        unavailable.

        `trouble` is a failure that has just occurred, after `attempts` attempts at the same request.
        """
        began, away = time.monotonic(), False
        pause = FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 10)
        if trouble is None:
            trouble = self._greet(policy)
            away = trouble is not None
        elif not trouble.busy:
            self._forget_checks()
        with ExitStack() as shown:
            said, is_shown = "", False
            while trouble is not None:
                if str(trouble) != said:  # a long wait must not fill the log
                    said = str(trouble)
                    logger.warning("The server at %s failed: %s.", self._settings.server, said)
                pause = min(trouble.seconds or pause * random.uniform(1, 1 + JITTER), LONGEST_PAUSE_SECONDS)
                if pause > SHOWN_AFTER_SECONDS and not is_shown:
                    shown.enter_context(waiting(f"waiting for the server at {self._settings.server[:60]}"))
                    is_shown = True
                _pause(pause, pulse)
                pause *= 2
                trouble = self._greet(policy)
                away = away or trouble is not None
        if away:
            seconds = time.monotonic() - began
            logger.warning(
                "The server at %s is responding again after %.0f s.", self._settings.server, seconds
            )
        return away

    def _greet(self, policy: Loaded) -> ServerTrouble | None:
        """Make sure that the server offers the policy's weights, and that it has the policy's tokenizer. If
        the server is unavailable, return the reason. Raises ServerUnusable."""
        try:
            self._weights.load(policy.model)
            if not self._greeted:
                self._refuse_other_tokenizer(policy)
        except ServerTrouble as error:
            self._forget_checks()
            return error
        self._greeted = True
        return None

    def _forget_checks(self) -> None:
        """Make the next request repeat all checks. After an outage, a server can have a different model and
        different options."""
        self._greeted, self._compared, self._tempered = False, False, None

    def _refuse_other_tokenizer(self, policy: Loaded) -> None:
        """Raise ServerUnusable if the server and the policy's tokenizer encode PROBE as different token
        IDs."""
        body = {
            "model": self._settings.server_model,
            "prompt": PROBE,
            "add_special_tokens": False,
            "max_tokens": 1,
            "temperature": 0.0,
            "return_token_ids": True,
        }
        found = json_of(self._answer_to(body), "a request for completions")
        choices = found.get("choices") if isinstance(found, dict) else None
        first = choices[0] if isinstance(choices, list) and choices else None
        ids = first.get("prompt_token_ids") if isinstance(first, dict) else None
        own = policy.tokenizer(PROBE, add_special_tokens=False)["input_ids"]
        if ids is not None and ids != own:
            raise ServerUnusable(
                f"the server at {self._settings.server} has a different tokenizer from the policy: it"
                f" encodes a string as {str(ids)[:60]}…, and the policy's tokenizer encodes it as"
                f" {str(own)[:60]}…. Start the server with this policy"
            )

    def _answer_to(self, body: Mapping[str, Any]) -> Answer:
        answer = self._connections.request("/v1/completions", body)
        if answer.status == 200:
            return answer
        # Status 404 means that the server doesn't have the model: another run has unloaded the adapter, or
        # the server was restarted. `_greet` loads the adapter again.
        if answer.status == 404 or answer.status >= 500:
            raise ServerTrouble(f"it responded with status {answer.status} ({answer.words})")
        raise ServerUnusable(
            f"the server at {self._settings.server} refused the request (status {answer.status}):"
            f" {answer.words}"
        )


def _vocabulary(policy: Loaded) -> Vocabulary:
    known, stops = chat.id_limit(policy.tokenizer), chat.stop_ids(*policy)
    banned = sorted(set(range(known, vocabulary_rows(policy.model))) - set(stops))
    return Vocabulary(policy.tokenizer, known, stops, banned)


def _refuse_empty(prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> None:
    for number, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompt {number} has no tokens, so there is nothing to continue")
    if len(seeds) != len(prompts):
        raise ValueError(f"there are {len(prompts)} prompts, but {len(seeds)} seeds")


def _pause(seconds: float, pulse: Pulse) -> None:
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        time.sleep(min(TICK_SECONDS, left))
        pulse.beat()


def _leave(weights: ServedWeights, connections: Connections) -> None:
    weights.remove()
    connections.close()
