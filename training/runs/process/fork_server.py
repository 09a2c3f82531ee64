"""The process that training processes are forked from: `python -m training.runs.process.fork_server SOCKET`.

It has imported what every run needs (torch and transformers take 5 s of a processor) and does nothing else,
so a run starts at once. Its one client (`fork.py`) holds the other end of the socket. When the socket closes,
for whatever reason, this process ends and the kernel kills its children.

multiprocessing's fork server would not do: its children hold the pipe by which it learns that its client
died, so a killed worker would leave its run behind; and it reaps them at once, whereupon their group can't be
killed without the risk of meeting another one's.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence

from embedded.processes import die_with_parent

# Without Django: a run sets that up itself, for the database that its own environment names.
PRELOADED = (
    *("training.rlhf.policy.sft", "training.rlhf.policy.rejection_sampling", "training.rlhf.policy.ppo"),
    *("training.rlhf.generation.sampling", "training.rlhf.generation.evaluation"),
    *("training.rlhf.reward.reward_model", "training.demo_world"),
    *("pyarrow.parquet", "pydantic", "psycopg", "celery", "jsonschema", "rest_framework"),
)
# transformers imports the classes of a model when they are first asked for.
PRELOADED_NAMES = {
    "transformers": ("AutoModelForCausalLM", "AutoTokenizer", "LlamaForCausalLM", "PreTrainedModel")
}
# A thread would not be there in the fork, and whatever lock it held would stay locked: no pool may start one.
# And whoever asks the driver for the number of GPUs can't fork any more; NVML can be asked.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
IDLE_SECONDS = 600.0  # then its 330 MB go back
MAX_MESSAGE = 1 << 20


def serve(client: socket.socket) -> None:
    """Fork and reap for the client until it is gone, or has wanted nothing for IDLE_SECONDS."""
    forked: set[int] = set()
    while True:
        client.settimeout(None if forked else IDLE_SECONDS)
        try:
            message, descriptors, _, _ = socket.recv_fds(client, MAX_MESSAGE, 1)
        except TimeoutError:
            return
        if not message:
            return
        asked = json.loads(message)
        answer = 0
        if "reap" in asked:
            _, status = os.waitpid(asked["reap"], 0)
            forked.discard(asked["reap"])
            answer = os.waitstatus_to_exitcode(status)
        elif "argv" in asked:
            answer = _fork(client, descriptors[0], asked["argv"], asked["environment"])
            forked.add(answer)
        client.send(json.dumps(answer).encode())


def _fork(client: socket.socket, output: int, argv: Sequence[str], environment: Mapping[str, str]) -> int:
    server = os.getpid()
    pid = os.fork()
    if pid:
        os.close(output)
        return pid
    code = 1
    try:
        client.close()
        os.setsid()
        die_with_parent(signal.SIGKILL, parent=server)()
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.environ.clear()
        os.environ.update(environment)
        code = _run(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()  # fails where the log's disk is full
            sys.stderr.flush()
        finally:
            os._exit(code)  # not past `serve`: the rest of this process is the server's


def _run(argv: Sequence[str]) -> int:
    from training.runs.process.main import main

    _reseed()
    # What `ps -o comm` and `top` show; the start of a run's id is the time, its end tells it apart.
    with open("/proc/self/comm", "w") as name:
        name.write(f"run-{argv[0][-8:]}")
    return main(argv)


def _reseed() -> None:
    """Every fork would otherwise draw the same numbers where nothing seeds them."""
    import numpy as np
    import torch

    random.seed()
    np.random.seed()
    torch.seed()


def _preload() -> None:
    # What can't be imported here can't be in the run either, and is said in its log.
    try:
        for name in PRELOADED:
            importlib.import_module(name)
        for name, parts in PRELOADED_NAMES.items():
            module = importlib.import_module(name)
            for part in parts:
                getattr(module, part)
    except Exception:
        traceback.print_exc()
    gc.freeze()  # or the first collection in a fork would copy every page it looks at


if __name__ == "__main__":
    _preload()
    serve(socket.socket(fileno=int(sys.argv[1])))
