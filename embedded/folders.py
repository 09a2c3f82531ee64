"""The servers' folders: access to them, and socket folders with paths short enough for the kernel."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from embedded.processes import Account, ServerError

# sockaddr_un.sun_path holds 108 bytes, including the terminating null byte.
_SOCKET_PATH_LIMIT_BYTES = 107
_LONGEST_SOCKET_NAME = "/.s.PGSQL.5432.lock"


def reachable_by_others(path: Path) -> bool:
    """Whether every account can enter `path`, which requires mode o+x for the folder and all its parents."""
    path = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def socket_folder(home: Path) -> Path:
    """`home`/socket or, if that path is too long for a socket, a folder in the system's temporary folder.

    The name of the temporary folder is derived from `home`. A restart after a process was killed therefore
    finds and reuses the folder.
    """
    folder = home.resolve() / "socket"
    if len(os.fsencode(folder)) + len(_LONGEST_SOCKET_NAME) <= _SOCKET_PATH_LIMIT_BYTES:
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"rankloop-{digest}"


def make_private(path: Path, account: Account | None = None) -> None:
    """Create a folder that only `account` (default: our own) can enter.

    An existing folder must be equally private. Any user can create a folder in the system's temporary folder.
    If a server used another user's folder, that user could access the server.
    """
    owner, group = (account.uid, account.gid) if account else (os.geteuid(), os.getegid())
    if not path.exists():
        path.mkdir(mode=0o700)
        if account is not None:
            os.chown(path, owner, group)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) != 0o700:
        raise ServerError(
            f"{path} is not a private folder of account {owner} (mode 0700). Delete this folder and"
            " start Rankloop again."
        )
