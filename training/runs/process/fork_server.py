"""The process from which training processes are forked: `python -m training.runs.process.fork_server SOCKET`.

The fork server has already imported the libraries that every run needs, so a run starts immediately.
Importing torch and transformers takes 5 s of CPU time. The server's only client (`fork.py`) holds the other
end of the socket. When the socket closes, for any reason, this process ends and the kernel kills its
children.

The fork server of Python's multiprocessing module is not suitable, for two reasons. First, that server ends
only when a pipe from its client is closed. Child processes inherit the pipe and keep it open, so the run of a
killed worker would continue. Second, that server reaps child processes immediately. When a process has been
reaped, its process group can't be killed safely, because another group might have received the same ID.
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

# Django is not loaded here: each run sets up Django for the database named in the run's environment.
PRELOADED = (
    *("training.rlhf.policy.sft", "training.rlhf.policy.rejection_sampling", "training.rlhf.policy.dpo"),
    *("training.rlhf.policy.rloo", "training.rlhf.policy.ppo"),
    *("training.rlhf.generation.sampling", "training.rlhf.generation.evaluation"),
    *("training.rlhf.reward.reward_model", "training.demo_world"),
    *("pyarrow.parquet", "pydantic", "psycopg", "celery", "jsonschema", "rest_framework"),
)
# transformers imports a model's classes on first access.
PRELOADED_NAMES = {
    "transformers": ("AutoModelForCausalLM", "AutoTokenizer", "LlamaForCausalLM", "PreTrainedModel")
}
# No thread pools are started here. A fork does not copy threads. If a thread held a lock during the fork, the
# lock would stay locked forever in the child process. The number of GPUs is queried through NVML. A query to
# the CUDA driver would make CUDA unusable in child processes.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
IDLE_SECONDS = 600.0  # after this time without a run, the server ends and frees its 330 MB of memory
MAX_MESSAGE = 1 << 20


def serve(client: socket.socket) -> None:
    """Fork and reap training processes for the client, until the client closes the connection or is idle for
    IDLE_SECONDS."""
    forked: set[int] = set()
    while True:
        client.settimeout(None if forked else IDLE_SECONDS)
        try:
            message, descriptors, _, _ = socket.recv_fds(client, MAX_MESSAGE, 2)
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
            output, service_log = descriptors
            answer = _fork(client, output, service_log, asked["argv"], asked["environment"])
            forked.add(answer)
        client.send(json.dumps(answer).encode())


def _fork(
    client: socket.socket,
    output: int,
    service_log: int,
    argv: Sequence[str],
    environment: Mapping[str, str],
) -> int:
    server = os.getpid()
    pid = os.fork()
    if pid:
        os.close(output)
        os.close(service_log)
        return pid
    code = 1
    try:
        client.close()
        os.setsid()
        die_with_parent(signal.SIGKILL, parent=server)()
        # The run's log is the process's output. Errors also go to the worker's log (config/logs/setup.py).
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        os.environ.clear()
        os.environ.update(environment)
        os.environ["RANKLOOP_SERVICE_LOG_FD"] = str(service_log)
        code = _run(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()  # fails if the log's disk is full
            sys.stderr.flush()
        finally:
            os._exit(code)  # a child process must never return into `serve`


def _run(argv: Sequence[str]) -> int:
    from training.runs.process.log_stream import keep_running_without_log
    from training.runs.process.main import main

    keep_running_without_log()
    _reseed()
    # The process name that `ps -o comm` and `top` show. A run's ID starts with a timestamp, so only the end
    # of the ID is distinctive.
    with open("/proc/self/comm", "w") as name:
        name.write(f"run-{argv[0][-8:]}")
    return main(argv)


def _reseed() -> None:
    """Reseed the random generators, because otherwise every fork would draw the same numbers."""
    import numpy as np
    import torch

    random.seed()
    np.random.seed()
    torch.seed()


def _preload() -> None:
    gc.disable()  # garbage collection takes a quarter of the CPU time of these imports and frees little
    # A module that fails to import here also fails in the run, whose log then contains the error.
    try:
        for name in PRELOADED:
            importlib.import_module(name)
        for name, parts in PRELOADED_NAMES.items():
            module = importlib.import_module(name)
            for part in parts:
                getattr(module, part)
    except Exception:
        traceback.print_exc()
    gc.freeze()  # otherwise, a fork's first garbage collection would copy every page it visits
    gc.enable()


if __name__ == "__main__":
    _preload()
    serve(socket.socket(fileno=int(sys.argv[1])))
