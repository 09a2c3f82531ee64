"""scripts/test in a small repository with fake tools: a failure of any check fails the run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.scripts.programs import ROOT, Programs

# Sets the same variables as scripts/environment, without setting anything up.
ENVIRONMENT = """
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
say() { printf '%s\\n' "$*"; }
stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }
VENV=.venv
after_venv
exec 9>"$VENV/.setup-lock"
"""
PYTHON = """
case "$*" in
  "manage.py spectacular"*) cp frontend/openapi.json "${@: -1}" ;;
  "-m json.tool"*) cp "${@: -2:1}" "${@: -1}" ;;
  "-m pytest"*) echo "tests: $*"; echo "2 passed in 1 s" ;;
esac
"""
# The name of each step, as printed on failure, with the fake program that makes the step fail.
FAILURES = {
    "format": (".venv/bin/ruff", '[ "$1" != format ]'),
    "lint": (".venv/bin/ruff", '[ "$1" != check ]'),
    "page: format and lint": ("bin/npx", "exit 1"),
    "types": (".venv/bin/mypy", "exit 1"),
    "page: tests": ("bin/npm", '[ "$1" != test ]'),
    "API schema": (".venv/bin/python", '[ "$2" != spectacular ] || exit 1' + PYTHON),
    "migrations": (".venv/bin/python", '[ "$2" != makemigrations ] || exit 1' + PYTHON),
    "import rules": (".venv/bin/lint-imports", "exit 1"),
    "packages": (".venv/bin/pip", '[ "$1" != check ]'),
    "browser": ("bin/chromium", "exit 1"),
    "PPO oracle": (".venv/bin/pip", '[ "$1" != install ]'),
}


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = Programs(folder / "bin").real(
            *("awk", "bash", "cat", "chmod", "cp", "diff", "dirname", "env", "id", "mkdir"),
            *("mktemp", "renice", "rm", "tail", "tee"),
        )
        self.tools = Programs(folder / ".venv" / "bin")
        (folder / "scripts").mkdir()
        for name in ("test", "browser"):
            shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
        (folder / "scripts" / "environment").write_text(ENVIRONMENT)
        (folder / "frontend" / "src" / "api").mkdir(parents=True)
        (folder / "frontend" / "openapi.json").write_text("{}")
        self.types.write_text("types")
        for tool in ("ruff", "mypy", "lint-imports", "pip"):
            self.tools.fake(tool, "exit 0")
        self.tools.fake("python", PYTHON)
        for name in ("npx", "npm", "chromium"):
            self.path.fake(name, "exit 0")
        self.path.fake("apt-get", "exit 100")

    @property
    def types(self) -> Path:
        return self.folder / "frontend" / "src" / "api" / "schema.d.ts"

    def fake(self, program: str, body: str) -> None:
        folder, _, name = program.rpartition("/")
        (self.path if folder == "bin" else self.tools).fake(name, body)

    def test(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """Runs scripts/test and returns its exit status and output."""
        done = self.path.run(
            "scripts/test", *arguments, cwd=self.folder, TMPDIR=str(self.folder), **variables
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_successful_run_ends_with_the_summary_of_the_tests(repository: Repository) -> None:
    status, output = repository.test("-k", "claim")
    assert status == 0, output
    assert "-k claim" in output
    assert "All checks passed;" in output
    assert output.splitlines()[-1] == "2 passed in 1 s"


@pytest.mark.parametrize("step", FAILURES)
def test_failed_step_fails_the_run(repository: Repository, step: str) -> None:
    repository.fake(*FAILURES[step])
    status, output = repository.test()
    assert status == 1, output
    assert f"FAILED: {step} (" in output
    assert "All checks passed" not in output


def test_failed_test_fails_the_run(repository: Repository) -> None:
    repository.fake(".venv/bin/python", PYTHON + '[ "$2" != pytest ]')
    status, output = repository.test()
    assert status == 1, output


@pytest.mark.parametrize(
    ("program", "body"),
    [
        (".venv/bin/python", '[ "$2" != json.tool ] || exit 1' + PYTHON),
        (".venv/bin/python", '[ "$2" != spectacular ] || { echo "{}2" >"${@: -1}"; exit; }' + PYTHON),
        ("bin/npm", '[ "$3" != generate ]'),
        ("bin/npm", '[ "$3" != generate ] || echo others >src/api/schema.d.ts'),
    ],
    ids=["cannot be read", "differs", "types are not generated", "types differ"],
)
def test_outdated_schema_fails_the_run(repository: Repository, program: str, body: str) -> None:
    repository.fake(program, body)
    status, output = repository.test()
    assert status == 1, output
    assert "FAILED: API schema" in output
    assert repository.types.read_text() == "types"


def test_installed_package_that_differs_from_the_lock_fails_the_run(repository: Repository) -> None:
    repository.fake(".venv/bin/pip", '[ "$*" = check ] || [ "$1" = install ]')
    status, output = repository.test()
    assert status == 1, output
    assert "FAILED: packages" in output


def test_browser_tests_are_left_out_only_on_request(repository: Repository) -> None:
    repository.fake("bin/chromium", "exit 1")
    status, output = repository.test(RANKLOOP_NO_BROWSER="1")
    assert status == 0, output
    assert output.count("SKIPPED") == 2
    status, output = repository.test(RANKLOOP_NO_BROWSER="")
    assert status == 1, output
    assert "RANKLOOP_NO_BROWSER=1" in output
