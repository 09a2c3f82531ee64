"""Send valid, invalid and hostile requests to a running stack, and report every server error.

    .venv/bin/python -m benchmarks.schema_fuzz [--minutes 10] [--seed 1]

Starts a temporary embedded stack with real comparisons and sends requests to every operation of its OpenAPI
schema. The comparisons are from ../shared/data or RANKLOOP_DATA; without this folder, generated tasks are
used instead.

Requests change passwords, end sessions and revoke tokens. Each round therefore has new users of every role,
with valid, expired and revoked tokens and valid, expired and ended sessions. Schemathesis generates requests.
`cases.py` adds hostile parameters, headers and cookies. `raw.py` adds requests that no HTTP library sends.

Prints the number of requests by status. For each kind of fault, prints the seed, the user and a curl command
without secrets. Faults are server errors, responses that the schema does not describe, and requests without a
response within 30 seconds. The exit status is 1 if there was a fault.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation

from benchmarks.requests import start_stack
from benchmarks.schema_fuzz import raw
from benchmarks.schema_fuzz.cases import CHECKS, Identity, parameters_of, requests_to

CASES_EACH = 6
RAW_EACH = 3
CURL_CHARACTERS = 1_000
LONG_QUERY = 5_000  # characters; each can become twelve bytes in the address
SECONDS = 30.0


@dataclass
class Tally:
    statuses: Counter[str] = field(default_factory=Counter)
    senders: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    """The first report of each kind of fault."""
    n_faults: int = 0

    def fault(self, kind: str, report: str) -> None:
        self.n_faults += 1
        if kind not in self.faults:
            self.faults[kind] = report
            print(f"\n{kind}\n{report}", flush=True)


def ask(
    operation: APIOperation,
    url: str,
    world: Any,
    document: Any,
    number: int,
    tally: Tally,
    in_time: Callable[[], bool],
) -> None:
    documented = document["paths"][operation.path][operation.method]["responses"]
    for mode in GenerationMode:

        @seed(number)
        @settings(
            max_examples=CASES_EACH,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(
            case=requests_to(
                operation,
                mode,
                parameters=parameters_of(document, operation),
                known=world.known(operation),
                fields=world.fields,
            ),
            identity=st.one_of(st.just(world.allowed(operation)), st.sampled_from(world.identities)),
        )
        def sent(case: Any, identity: Identity) -> None:
            if in_time():
                _send(case, identity, url, documented, number, tally)

        with suppress(Unsatisfiable):  # without parameters or a body, no request can be invalid
            sent()


def _send(case: Any, identity: Identity, url: str, documented: Any, number: int, tally: Tally) -> None:
    label = f"{case.method} {case.operation.path}"
    headers = {**identity.headers, **case.headers}

    def fault(kind: str, detail: object = "") -> None:
        curl = case.as_curl_command(headers=headers)[:CURL_CHARACTERS]
        tally.fault(f"{label}: {kind}", f"seed {number}, sent by {identity.name}:\n  {curl}\n  {detail}")

    try:
        answer = case.call(
            base_url=url,
            headers=headers,
            cookies=dict(identity.cookies),
            timeout=SECONDS,
            allow_redirects=False,
        )
    except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError):
        tally.statuses["not sendable"] += 1
        return
    except (requests.exceptions.RequestException, schemathesis.errors.SchemathesisError) as error:
        # The server closes the connection if the first line has more than 64 KB.
        if len(str(case.query)) < LONG_QUERY:
            fault("no response", f"{type(error).__name__}: {error}")
        tally.statuses["no response"] += 1
        return
    tally.statuses[str(answer.status_code)] += 1
    tally.senders[identity.name] += 1
    if answer.status_code >= 500:
        fault(str(answer.status_code), answer.text[:300])
        return
    if answer.status_code < 400 and str(answer.status_code) not in documented:
        fault(f"undocumented {answer.status_code}")
    try:
        case.validate_response(answer, checks=CHECKS)
    except FailureGroup as group:
        for failure in group.exceptions:
            fault(f"{answer.status_code}, {type(failure).__name__}", failure)


def ask_raw(operation: APIOperation, url: str, world: Any, number: int, tally: Tally) -> None:
    for label, request in raw.requests_to(
        operation, world.known(operation), world.identities, number, RAW_EACH
    ):
        status = raw.status_of(url, request)
        tally.statuses[f"raw {status or 'closed'}"] += 1
        if status is not None and status >= 500:
            tally.fault(
                f"{operation.method.upper()} {operation.path}: raw {label}: {status}", f"seed {number}"
            )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rl-bench-"))
    home.chmod(0o711)  # if root starts Postgres, it runs as `nobody`, which needs access to this folder
    stack, url = start_stack(home / "state", home / "output")
    tally = Tally()
    try:
        os.environ |= {"RANKLOOP_STATE": str(home / "state"), "DJANGO_SETTINGS_MODULE": "config.settings"}
        django.setup()
        from benchmarks.schema_fuzz.site import World, import_real_data

        real = import_real_data(home)
        document = requests.get(f"{url}/api/schema/", timeout=SECONDS).json()
        operations = [each.ok() for each in schemathesis.openapi.from_dict(document).get_all_operations()]
        end, number = time.monotonic() + options.minutes * 60, 0
        began = time.monotonic()
        while time.monotonic() < end:
            number += 1
            world = World(number, real)
            for operation in operations:
                if time.monotonic() < end:
                    chosen = options.seed * 100_000 + number
                    ask(operation, url, world, document, chosen, tally, lambda: time.monotonic() < end)
                    ask_raw(operation, url, world, chosen, tally)
        seconds = time.monotonic() - began
    finally:
        stack.terminate()
        stack.wait()
        shutil.rmtree(home, ignore_errors=True)
    print(
        f"\n{tally.statuses.total():,} requests to {len(operations)} operations in {seconds / 60:.1f} minutes"
    )
    print(f"{number} rounds (seed {options.seed}), {len(tally.senders)} kinds of senders")
    for status, count in sorted(tally.statuses.items()):
        print(f"{status:>12} {count:8,}")
    errors = sum(count for status, count in tally.statuses.items() if status.split()[-1].startswith("5"))
    print(f"{errors} server errors, {tally.n_faults} faults of {len(tally.faults)} kinds")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
