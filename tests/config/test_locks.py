"""The lock files are complete and consistent on every Python that pyproject.toml accepts.

`pip check` covers only the Python that runs it. Packages state their requirements for every Python version.
These tests can therefore check every version, not only the running version. They do not check whether a
package index offers the wheels.
"""

from __future__ import annotations

import platform
import re
import tomllib
from importlib.metadata import PackageMetadata, metadata, requires
from pathlib import Path

import pytest
from django.conf import settings
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(settings.BASE_DIR)
NAMES = ["requirements", "requirements-test"]
# For each Python version, the oldest release in common Linux distributions. In addition, 3.11.3 is tested as
# the first release that does not need async-timeout. An environment that was created with a later 3.11
# release must also work with 3.11.2, so it contains async-timeout as well.
PYTHONS = ["3.11.2", "3.11.3", "3.12.3", "3.13.5", "3.14.0"]
# Libraries required only by torch's CUDA build.
CUDA = re.compile(r"(cuda|nvidia|triton)\b")


def read(file: str) -> list[Requirement]:
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-r ")]


def environment(python: str) -> dict[str, str]:
    version = {"python_version": python.rpartition(".")[0], "python_full_version": python}
    return {**{name: str(value) for name, value in default_environment().items()}, **version}


def applies(requirement: Requirement, python: str, extra: str = "") -> bool:
    marker = requirement.marker
    return marker is None or marker.evaluate(environment(python) | {"extra": extra})


def locked(name: str, python: str) -> dict[str, str]:
    """Returns {package: locked version} for all packages that the lock file lists for this Python."""
    pins = [pin for pin in read(f"{name}.lock") if applies(pin, python)]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}


def installed(name: str, python: str) -> set[str]:
    """The packages that are locked both for `python` and for the running Python. The metadata of other
    packages can't be read here."""
    return set(locked(name, python)) & set(locked(name, platform.python_version()))


def needed(name: str, python: str) -> list[tuple[str, Requirement]]:
    """All requirements of our own files and of the locked packages. Each requirement is paired with the
    file or package that states it."""
    pins = installed(name, python)
    files = [f"{one}.in" for one in NAMES[: NAMES.index(name) + 1]]
    found: dict[tuple[str, str], Requirement] = {}
    left = [
        (file, requirement) for file in files for requirement in read(file) if applies(requirement, python)
    ]
    left += [(package, Requirement(package)) for package in pins]
    while left:
        by, requirement = left.pop()
        if (by, str(requirement)) in found or CUDA.match(requirement.name):
            continue
        found[by, str(requirement)] = requirement
        package = canonicalize_name(requirement.name)
        if package in pins:
            for text in requires(package) or ():
                inner = Requirement(text)
                if any(applies(inner, python, extra) for extra in ("", *requirement.extras)):
                    left.append((package, inner))
    return [(by, requirement) for (by, _), requirement in found.items()]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", NAMES)
def test_lock_contains_a_matching_version_of_every_required_package(name: str, python: str) -> None:
    pins = locked(name, python)
    for by, requirement in needed(name, python):
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{by} requires {requirement} on Python {python}: add it to {name}.lock"
        assert requirement.specifier.contains(pin, prereleases=True), (
            f"{by} requires {requirement}, not {pin}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_locked_package_supports_every_supported_python(name: str) -> None:
    for python in PYTHONS:
        for package in installed(name, python):
            described: PackageMetadata = metadata(package)
            accepted = SpecifierSet(described.get("Requires-Python") or "")
            assert accepted.contains(python), f"{package} requires Python {accepted}"


def test_test_lock_contains_the_whole_runtime_lock() -> None:
    """scripts/up and scripts/test use the same virtual environment."""
    lines = [set((ROOT / f"{name}.lock").read_text().splitlines()) for name in NAMES]
    assert lines[0] <= lines[1]


def test_all_files_state_the_same_supported_python_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    accepted = SpecifierSet(project["requires-python"])
    minors = sorted({python.rpartition(".")[0] for python in PYTHONS}, key=lambda minor: int(minor[2:]))
    assert [f"3.{minor}" for minor in range(30) if accepted.contains(f"3.{minor}.9")] == minors
    script = (ROOT / "scripts" / "environment").read_text()
    assert re.findall(r"python(3\.\d+)", re.findall(r"candidates=\((.*)\)", script)[0]) == minors[::-1]
    for document in ("README.md", "CONTRIBUTING.md"):
        assert f"Python {minors[0]} to {minors[-1]}" in (ROOT / document).read_text()


def test_readme_names_the_locked_release_of_torch() -> None:
    (pin,) = [pin for pin in read("requirements.lock") if pin.name == "torch"]
    assert re.findall(r"torch==[\w.]+", (ROOT / "README.md").read_text()) == [str(pin)]
