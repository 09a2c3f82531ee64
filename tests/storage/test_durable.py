"""A file or folder is replaced so that a crash at any moment leaves either the old or the new version."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storage import durable
from tests.storage.witness import Witness

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = "old " * 5_000, "new " * 5_000

# The n-th child process is killed at the start of its n-th call to a built-in function, for example open,
# write, fsync, rename or unlink. The loop ends with the first child that is not killed.
_KILLED_EVERYWHERE = """
import os, shutil, signal, sys
from pathlib import Path
from storage import durable

folder, kind, old, new = Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
target = folder / "target"

def write(text):
    if kind == "file":
        durable.write_text(target, text)
        return
    with durable.replacing(target) as partial:
        (partial / "inner").mkdir(parents=True)
        with open(partial / "inner" / "file", "w") as file:
            file.write(text)

def found():
    text = (target if kind == "file" else target / "inner" / "file").read_text()
    return "old" if text == old else "new" if text == new else text[:40]

def killed_at(number):
    pid = os.fork()
    if pid == 0:
        left = [number]
        def hook(frame, event, called):
            if event == "c_call":
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.setprofile(hook)
        write(new)
        sys.setprofile(None)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

write(old)
number, seen = 1, []
while killed_at(number):
    seen.append(found())
    write(old)  # also removes what the killed process left
    assert os.listdir(folder) == ["target"], os.listdir(folder)
    number += 1
print(" ".join(seen))
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_process_killed_at_any_call_leaves_the_old_or_the_new_version(tmp_path: Path, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_EVERYWHERE, str(tmp_path), kind, OLD, NEW],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = done.stdout.split()
    assert set(seen) == {"old", "new"}
    assert len(seen) > 30
    assert seen == sorted(seen, reverse=True)  # once the new version is in place, it stays


def test_file_is_synced_before_the_rename_and_its_folder_afterwards(tmp_path: Path) -> None:
    witness = Witness()
    with witness.watching():
        durable.write_text(tmp_path / "file", NEW)
    assert (witness.missing, witness.named) == ([], [tmp_path / "file"])


def test_witness_lists_each_missing_sync(tmp_path: Path) -> None:
    witness = Witness()
    (tmp_path / "partial").mkdir()
    (tmp_path / "partial" / "file").write_text(NEW)
    with witness.watching():
        os.rename(tmp_path / "partial", tmp_path / "folder")
    assert [fault.partition(" was ")[0].rpartition("/")[2] for fault in witness.missing] == [
        "partial",
        "file",
        tmp_path.name,
    ]


def test_new_folders_are_synced_into_their_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    real = durable.sync
    monkeypatch.setattr(durable, "sync", lambda path: (synced.append(path), real(path)))
    durable.make_folders(tmp_path / "a" / "b", mode=0o700)
    assert synced == [tmp_path, tmp_path / "a"]
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700


def test_old_version_is_kept_and_new_version_removed_if_the_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "target"
    durable.write_text(target, OLD)

    def write_half() -> None:
        with durable.new_file(target) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_text() == OLD
    assert os.listdir(tmp_path) == ["target"]


def test_unfinished_files_of_other_targets_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".other.partial-1").write_text("of a running process")
    (tmp_path / ".a[b].partial-1").write_text("of a killed process")
    durable.write_text(tmp_path / "a[b]", NEW)
    assert sorted(os.listdir(tmp_path)) == [".other.partial-1", "a[b]"]


def test_folder_is_replaced_even_if_the_file_system_cannot_exchange_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "exchange", lambda one, other: False)
    for text in (OLD, NEW):
        with durable.replacing(tmp_path / "target") as partial:
            partial.mkdir()
            (partial / "file").write_text(text)
    assert (tmp_path / "target" / "file").read_text() == NEW
    assert os.listdir(tmp_path) == ["target"]


def test_second_call_of_write_once_keeps_the_first_text(tmp_path: Path) -> None:
    assert durable.write_once(tmp_path / "key", "first") == "first"
    assert durable.write_once(tmp_path / "key", "second") == "first"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["key"]
