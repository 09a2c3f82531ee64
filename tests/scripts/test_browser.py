"""scripts/browser finds or installs the browser for the browser tests, or fails."""

from __future__ import annotations

import pytest

from tests.scripts.programs import ROOT, Programs

BROWSER = ROOT / "scripts" / "browser"
STARTS, DOES_NOT_START = "exit 0", "exit 1"


@pytest.fixture
def root(programs: Programs) -> Programs:
    """A machine without a browser, on which the script runs as root."""
    programs.fake("id", "echo 0")
    return programs


def installs(programs: Programs, package: str) -> None:
    """Adds a fake apt-get that can install only this package, which contains a working browser."""
    programs.real("chmod", "cp")
    source = programs.fake("new-browser", STARTS)
    programs.fake(
        "apt-get",
        f"""
        echo "apt-get $*"
        [ "$1" = update ] && exit 0
        [ "${{@: -1}}" = {package} ] || exit 100
        cp {source} {programs.folder}/{package}
        """,
    )


@pytest.mark.parametrize("name", ["chromium", "chromium-browser", "google-chrome"])
def test_browser_on_the_path_is_found(programs: Programs, name: str) -> None:
    path = programs.fake(name, STARTS)
    found = programs.run(BROWSER)
    assert (found.returncode, found.stdout) == (0, f"{path}\n")


def test_error_for_a_missing_browser_explains_how_to_install_one(programs: Programs) -> None:
    found = programs.run(BROWSER)
    assert (found.returncode, found.stdout) == (1, "")
    assert "apt-get install chromium" in found.stderr
    assert "RANKLOOP_NO_BROWSER=1" in found.stderr


def test_browser_that_does_not_start_is_treated_as_missing(programs: Programs) -> None:
    programs.fake("chromium-browser", DOES_NOT_START)
    assert programs.run(BROWSER).returncode == 1
    path = programs.fake("google-chrome", STARTS)
    assert programs.run(BROWSER).stdout == f"{path}\n"


@pytest.mark.parametrize("package", ["chromium", "chromium-browser"])
def test_root_installs_a_missing_browser(root: Programs, package: str) -> None:
    installs(root, package)
    found = root.run(BROWSER, "--install")
    assert (found.returncode, found.stdout) == (0, f"{root.folder / package}\n"), found.stderr


def test_failed_installation_is_an_error(root: Programs) -> None:
    root.fake("apt-get", "exit 100")
    assert root.run(BROWSER, "--install").returncode == 1


def test_unprivileged_user_installs_nothing(programs: Programs) -> None:
    programs.fake("id", "echo 1000")
    installs(programs, "chromium")
    found = programs.run(BROWSER, "--install")
    assert (found.returncode, found.stdout) == (1, "")
    assert "apt-get update" not in found.stderr


def test_nothing_is_installed_without_the_install_option(root: Programs) -> None:
    installs(root, "chromium")
    assert root.run(BROWSER).returncode == 1
