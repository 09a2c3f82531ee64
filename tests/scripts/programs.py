"""A folder of fake programs that is the entire PATH of a script under test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASH = shutil.which("bash") or "/bin/bash"


class Programs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def real(self, *names: str) -> Programs:
        for name in names:
            found = shutil.which(name)
            assert found, name
            (self.folder / name).symlink_to(found)
        return self

    def fake(self, name: str, body: str) -> Path:
        """Write a bash script with this name, replacing an earlier script."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!{BASH}\n{body}\n")
        path.chmod(0o755)
        return path

    def run(
        self, *command: str | Path, cwd: Path = ROOT, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BASH, *command],
            cwd=cwd,
            env={"PATH": str(self.folder), **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
