import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

const LONG = Array.from({ length: 401 }, (_, line) => `export const line${line} = ${line};`).join("\n");

/** Files that violate the import rules or the length limit in biome.json, each with the rule that must report it. */
const VIOLATIONS: Readonly<Record<string, readonly [code: string, rule: string]>> = {
  "src/features/review/components/alias.ts": [
    'export { toRank } from "@/features/desk/flow/flow";',
    "noRestrictedImports",
  ],
  "src/features/review/components/relative.ts": [
    'export { toRank } from "../../desk/flow/flow";',
    "noRestrictedImports",
  ],
  "src/features/review/components/dynamic.ts": [
    'export const load = () => import("../../desk/flow/flow");',
    "noRestrictedImports",
  ],
  "src/features/review/components/types.ts": [
    'export type { Hand } from "@/features/desk/flow/flow";',
    "noRestrictedImports",
  ],
  "src/features/review/components/app.ts": [
    'export { queryClient } from "@/app/queries";',
    "noRestrictedImports",
  ],
  "src/features/review/top.ts": ['export { toRank } from "../desk/flow/flow";', "noRestrictedImports"],
  "src/ranking/order/up.ts": ['export { toRank } from "@/features/desk/flow/flow";', "noRestrictedImports"],
  "src/shared/up.ts": ['export { reduce } from "../ranking/order/rankingReducer";', "noRestrictedImports"],
  "src/api/up.ts": ['export { meQuery } from "@/shared/session";', "noRestrictedImports"],
  "src/shared/first.ts": ['import { two } from "./second";\nexport const one = () => two;', "noImportCycles"],
  "src/shared/second.ts": ['import { one } from "./first";\nexport const two = () => one;', "noImportCycles"],
  "src/shared/long.ts": [LONG, "noExcessiveLinesPerFile"],
};

const ALLOWED: Readonly<Record<string, string>> = {
  "src/features/review/components/fine.ts":
    'import { x } from "../answers";\nimport { y } from "@/ranking/order/rankingReducer";\nexport const z = [x, y];',
  "src/api/fine.ts": 'export { currentLanguage } from "@/shared/i18n/language";',
  "src/app/fine.ts": 'export { toRank } from "@/features/desk/flow/flow";',
};

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "import-rules-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("the linter reports forbidden imports, import cycles and long files, and nothing else", () => {
  const frontend = join(import.meta.dirname, "../..");
  copyFileSync(join(frontend, "biome.json"), join(folder, "biome.json"));
  const code = Object.entries(VIOLATIONS).map(([file, [text]]) => [file, text] as const);
  for (const [file, text] of [...code, ...Object.entries(ALLOWED)]) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), `${text}\n`);
  }
  const { stdout } = spawnSync(
    join(frontend, "node_modules/.bin/biome"),
    ["lint", "--reporter=json", "--max-diagnostics=none", "."],
    { cwd: folder, encoding: "utf8" },
  );
  const found = (
    JSON.parse(stdout) as { diagnostics: { category: string; location: { path: string } }[] }
  ).diagnostics
    .map(({ category, location }) => `${location.path}: ${category.split("/").at(-1)}`)
    .toSorted();
  const expected = Object.entries(VIOLATIONS).map(([file, [, rule]]) => `${file}: ${rule}`);
  expect(found).toEqual(expected.toSorted());
});
