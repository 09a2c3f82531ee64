"""pytest plugin (`-p tests.order`): which tests share an xdist process, and that the heavy ones come last.

A file's tests stay together, so its module fixtures are made once. Those that turn the whole loop or drive a
browser run one after another, after all others, so that two trainings never share the processors.
"""

from __future__ import annotations

import pytest

_HEAVY = ("browser", "wheel")


def pytest_itemcollected(item: pytest.Item) -> None:
    # Not later: xdist reads the groups at the very beginning of pytest_collection_modifyitems.
    item.add_marker(pytest.mark.xdist_group("heavy" if _is_heavy(item) else item.path.as_posix()))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_is_heavy)


def _is_heavy(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in _HEAVY)
