"""The total compressed size of the scripts that load before the first task is shown is at most 200 kB."""

from __future__ import annotations

import gzip
import json

from tests.embedded.running import ROOT

MOST_BYTES = 200_000
DIST = ROOT / "frontend" / "dist"
DESK = "src/features/desk/components/DeskPage.tsx"


def test_desk_scripts_have_at_most_200_kilobytes_in_total() -> None:
    manifest = DIST / ".vite" / "manifest.json"
    assert manifest.exists(), "The page is not built: cd frontend && npm run build"
    chunks = json.loads(manifest.read_text())
    wanted = [name for name, chunk in chunks.items() if chunk.get("isEntry") or name == DESK]
    assert len(wanted) == 2
    # Static imports load before the first task. Dynamic imports (Markdown, formulas, rarely used dialogs)
    # load later.
    first: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in first:
            first.add(name)
            wanted += chunks[name].get("imports", [])
    sizes = {
        chunks[name]["file"]: len(gzip.compress((DIST / chunks[name]["file"]).read_bytes())) for name in first
    }
    largest = sorted(sizes.items(), key=lambda each: -each[1])[:8]
    assert sum(sizes.values()) <= MOST_BYTES, largest
    assert not any("Rendered" in file or "katex" in file for file in sizes), largest
