import { parse } from "valibot";
import { expect, test } from "vitest";
import { loginSearch } from "@/features/auth/search";
import { compareSearch, newRunSearch, runsSearch } from "@/features/runs/search";

test("a URL keeps its valid search parameters and drops the others", () => {
  const login = { next: "/projects/p", ended: true, step: "code", problem: "denied" };
  expect(parse(loginSearch, login)).toStrictEqual(login);
  expect(parse(loginSearch, { next: 1, ended: "true", step: "totp", other: "x" })).toStrictEqual({});
  const run = { kind: "ppo", from: "r1", policy: "p", reward_model: "m" };
  expect(parse(newRunSearch, run)).toStrictEqual(run);
  expect(parse(newRunSearch, { kind: ["ppo"], from: "", policy: null })).toStrictEqual({});
  expect(parse(runsSearch, { pick: "a,b", runs: "c" })).toStrictEqual({ pick: "a,b" });
  expect(parse(compareSearch, { runs: "" })).toStrictEqual({});
});
