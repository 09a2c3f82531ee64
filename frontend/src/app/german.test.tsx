import { act, cleanup, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { problemFrom } from "@/api/problem";
import { speak } from "@/shared/i18n/language";
import { untranslated } from "@/shared/i18n/untranslated";

/** Words that the check ignores: names, literal values, and words that are the same in English and German. */
const SAME = [
  "Rankloop",
  "Deutsch",
  "English",
  "Admin",
  "Authorization",
  "Bearer",
  "TOKEN",
  "Name",
  "Code",
  "API",
  "in",
  "an",
];

type Answers = Record<string, unknown>;

const COUNTS = { rankings: 12, my_rankings: 4, tasks: 7, open_tasks: 3, open_problems: null };
const project = (slug: string, parts: object = {}, counts: object = {}) => ({
  slug,
  name: "‹p›",
  role: "annotator",
  state: "active",
  member_state: "active",
  paused_reason: "",
  overlap: 2,
  guidelines: "‹g›",
  counts: { ...COUNTS, ...counts },
  ...parts,
});
const ME = { id: "1", username: "‹a›", name: "", is_admin: false, csrf_token: "x", memberships: [] };
const MANAGES = { ...ME, memberships: [{ role: "manager", state: "active" }] };
const REVIEWS = { role: "reviewer" };

/**
 * Opens the page at `address` with the server responses in `answers`, and waits until everything has loaded.
 */
async function open(address: string, answers: Answers): Promise<void> {
  vi.stubGlobal("fetch", async (request: Request) => {
    const { pathname } = new URL(request.url);
    const body = pathname in answers ? answers[pathname] : { detail: "‹detail›" };
    return Response.json(body, { status: pathname in answers ? 200 : body ? 403 : 401 });
  });
  window.history.replaceState(null, "", address);
  // As in a browser, the modules are loaded again for each page. Otherwise, the app's only router would keep
  // the location of the previous page.
  vi.resetModules();
  const [{ App }, { queryClient }] = await Promise.all([import("./App"), import("./queries")]);
  await act(async () => render(<App />));
  await waitFor(() => {
    expect(screen.getByRole("heading", { level: 1 })).toBeTruthy();
    expect(queryClient.isFetching()).toBe(0);
    expect(document.querySelector("output")).toBeNull();
  });
}

const me = (who: object = ME): Answers => ({ "/api/v1/auth/me": who });
const projects = (results: object[], who: object = ME) => ({ ...me(who), "/api/v1/projects/": { results } });
const one = (shown: object, more: Answers = {}) => ({ ...me(), "/api/v1/projects/p/": shown, ...more });
const PROGRESS = { per_day: [1, 2].map((rankings) => ({ date: `2026-03-0${rankings}`, rankings })) };
const ACCOUNT = {
  username: "‹a›",
  has_password: true,
  token_max_days: 365,
  second_factor: { enabled: false, recovery_codes_left: 0 },
};
const TOKEN = { id: "t", name: "‹t›", prefix: "‹x›", scopes: [], last_used_at: null, expires_at: null };

const PAGES: Record<string, [address: string, answers: Answers][]> = {
  "the login": [
    ["/login", { "/api/v1/auth/providers": [{ id: "x", name: "‹x›" }] }],
    ["/login?ended=true&problem=unknown", { "/api/v1/auth/providers": [] }],
    ["/login?step=code", { "/api/v1/auth/providers": [] }],
  ],
  "an invitation": [
    ["/join", {}],
    [
      "/join#token",
      {
        "/api/v1/auth/invitation": {
          project: "p",
          name: "‹p›",
          role: "annotator",
          invited_by: "‹m›",
          expires_at: "2026-03-01T12:00:00Z",
        },
      },
    ],
  ],
  "the projects": [
    ["/", projects([])],
    ["/", projects([], MANAGES)],
    [
      "/",
      projects([
        project("a"),
        project("b", { state: "paused" }, { tasks: 0 }),
        project("c", { state: "archived", role: "reviewer" }, { tasks: null }),
        project("d", { role: "manager" }, { open_problems: 2 }),
      ]),
    ],
    ["/", me()],
  ],
  "a project": [
    ["/projects/p", one(project("p"))],
    ["/projects/p", one(project("p", { guidelines: "" }, { my_rankings: 0, tasks: null }))],
    ["/projects/p", one(project("p", { state: "archived" }, { tasks: 0 }))],
    ["/projects/p", one(project("p", { member_state: "paused" }))],
    ["/projects/p", one(project("p", REVIEWS), { "/api/v1/projects/p/progress/": PROGRESS })],
    ["/projects/p", me()],
  ],
  "the account": [
    ["/account", { ...me(), "/api/v1/account/": ACCOUNT, "/api/v1/account/tokens/": { results: [TOKEN] } }],
    [
      "/account",
      {
        ...me(),
        "/api/v1/account/": { ...ACCOUNT, second_factor: { enabled: true, recovery_codes_left: 3 } },
        "/api/v1/account/tokens/": { results: [] },
      },
    ],
  ],
  "no page": [["/nowhere", me()]],
};

beforeEach(() => vi.stubGlobal("scrollTo", () => undefined));
afterEach(() => {
  cleanup();
  localStorage.clear();
  speak("en", { remember: false });
  vi.resetModules(); // Unloads the last test's modules, which are still set to German.
  vi.unstubAllGlobals();
});

it.each(Object.keys(PAGES))("the German page has no English text: %s", async (name) => {
  const left = await untranslated(SAME, async (listen) => {
    for (const [address, answers] of PAGES[name] ?? []) {
      await open(address, answers);
      listen();
      cleanup();
    }
  });
  expect(left).toEqual([]);
});

it("known problem types have German texts; others keep the server's text", () => {
  const lost = { type: "lease-lost", detail: "This lease has expired." };
  expect(problemFrom(409, lost).detail).toBe("This lease has expired.");
  speak("de", { remember: false });
  expect(problemFrom(409, lost).detail).toContain("Die Zuteilung ist abgelaufen");
  expect(problemFrom(409, { type: "toString", detail: "Server text." }).detail).toBe("Server text.");
});
