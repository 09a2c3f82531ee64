import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createMemoryHistory, createRootRoute, createRouter, RouterProvider } from "@tanstack/react-router";
import { act, cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { type ReactNode, Suspense } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiProblem } from "@/api/problem";
import type { AnswerForm, Assignment, Project } from "@/api/types";
import { EMPTY_FIELDS } from "@/ranking/answer/answer";
import { formOf } from "@/ranking/answer/formFixture";
import { LanguageProvider } from "@/shared/i18n";
import { speak } from "@/shared/i18n/language";
import { untranslated } from "@/shared/i18n/untranslated";
import { type Hand, toRank } from "../flow/flow";
import type { OutboxState } from "../outbox/outbox";
import type { Unsent as Entry } from "../outbox/store";
import { Desk } from "../task/Desk";
import { Feedback } from "./Feedback";
import { NothingToRank } from "./Idle";
import { NoTask } from "./NoTask";
import { Pace, PracticeBar } from "./Pace";
import { Unsent } from "./Unsent";
import { Waiting } from "./Waiting";

/** Words that are the same in both languages. */
const SAME = ["Alt", "Enter", "In", "Original", "Pause", "in", "so", "was"];

const RATING = {
  name: "r",
  label: "‹r›",
  min: 0,
  max: 4,
  required: true,
  points: [{ value: 0, label: "‹p›" }],
};
const PERCENT = { ...RATING, name: "many", max: 100 };
const CHOICES = [
  { name: "a", label: "‹a›" },
  { name: "b", label: "‹b›" },
];
const LEVELS = {
  levels: [
    { value: 1, label: "‹l1›" },
    { value: 2, label: "‹l2›" },
  ],
  required: true,
};
const EVERYTHING: Partial<AnswerForm> = {
  strength: LEVELS,
  ratings: [RATING, PERCENT],
  flags: [{ name: "f", label: "‹f›" }],
  questions: [{ name: "q", label: "‹q›", required: true, choices: CHOICES }],
  confidence: LEVELS,
  comment: { label: "‹c›", required: true },
  rewrite: { label: "‹w›", required: false },
  all_bad: { label: "‹bad›", order: "asked" },
};
const PAIR = { responses: { min: 2, max: 2 }, tie_label: "‹tie›" };
const FORMS: Record<string, AnswerForm> = {
  "an order and all questions": formOf(EVERYTHING),
  "an order without ties": formOf({ ties: false, all_bad: { label: "‹bad›", order: "none" } }),
  "the best two": formOf({ top_k: { at_least: 1, at_most: 2 } }),
  "a pair with degrees": formOf({ ...PAIR, ...EVERYTHING }),
  "a pair": formOf({ ...PAIR, all_bad: { label: "‹bad›", order: "tied" } }),
};

const assignment = (form: AnswerForm): Assignment => ({
  id: "a1",
  token: "t1",
  expires_at: new Date(Date.now() + 900_000).toISOString(),
  task: {
    id: "k",
    prompt: {
      messages: [
        { role: "system", content: "‹s›" },
        { role: "user", content: "‹u›" },
      ],
    },
  },
  responses: ["w 1", "x 2", "y 3"]
    .slice(0, form.responses.max)
    .map((text) => ({ id: text, text: `‹${text}›` })),
  form,
  draft: null,
  draft_version: 0,
  practice: false,
});
const project = {
  slug: "p",
  guidelines: "",
  skip_ways: ["others", "me", "drop"],
  overlap: 2,
  state: "active",
  counts: { my_rankings: 3, tasks: 7, by_state: { open: 3 } },
} as unknown as Project;

async function show(what: ReactNode) {
  // Links require a router.
  const router = createRouter({
    routeTree: createRootRoute({ component: () => what }),
    history: createMemoryHistory(),
  });
  await act(async () => {
    render(
      <LanguageProvider>
        <MantineProvider>
          <QueryClientProvider client={new QueryClient({ defaultOptions: { queries: { retry: false } } })}>
            <Suspense fallback="">
              {/* biome-ignore lint/suspicious/noExplicitAny: the type requires the app's router, but this test uses its own */}
              <RouterProvider router={router as any} />
            </Suspense>
          </QueryClientProvider>
        </MantineProvider>
      </LanguageProvider>,
    );
  });
}

const press = (name: string, modifiers: { altKey?: boolean; shiftKey?: boolean } = {}) =>
  fireEvent.keyDown(document.activeElement ?? document.body, {
    key: name,
    code: /\d/.test(name) ? `Digit${name}` : name,
    ...modifiers,
  });
beforeEach(() => vi.stubGlobal("scrollTo", () => undefined));
afterEach(() => {
  cleanup();
  localStorage.clear();
  speak("en", { remember: false });
  vi.unstubAllGlobals();
});

function answers(body: unknown) {
  vi.stubGlobal(
    "fetch",
    async () => new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" } }),
  );
}

async function openDesk(form: AnswerForm, parts: Partial<Hand> = {}) {
  answers({ version: 1, expires_at: new Date(Date.now() + 900_000).toISOString() });
  await show(
    <Desk
      project={project}
      hand={{ ...toRank(assignment(form)), ...parts }}
      lastDone=""
      onGive={vi.fn()}
      onSkipped={vi.fn()}
      onTakeBack={vi.fn()}
      onPutDown={vi.fn()}
      onReload={vi.fn()}
    />,
  );
  await waitFor(() => expect(screen.getAllByTestId("response-card").length).toBeGreaterThan(1));
}

describe("the desk in German", () => {
  it.each(Object.keys(FORMS))("shows no English text for the form %s", async (name) => {
    const form = FORMS[name] as AnswerForm;
    const left = await untranslated(SAME, async (listen) => {
      await openDesk(form);
      listen();
      // Enter shows the confirmation dialog for an untouched order, or lists the unanswered questions.
      press("Enter");
      listen();
      fireEvent(document.querySelector("dialog") ?? document.body, new Event("cancel", { cancelable: true }));
      for (const [key, modifiers] of [
        ["End"],
        ["1"],
        ["ArrowDown"],
        ["="],
        ["="],
        ["1", { shiftKey: true }],
        ["2"],
        ["2"],
        ["x"],
        ["u"],
        ["9"],
        ["Home"],
        ["ArrowUp", { altKey: true }],
        ["End"],
        ["ArrowDown", { altKey: true }],
        ["ArrowLeft"],
        ["ArrowRight"],
        ["u"],
        ["u"],
        ["u"],
        ["u"],
        ["u"],
        ["u"],
        ["u"],
        ["u"],
        ["u"],
        ["v"],
        ["y"],
        ["y"],
        ["v"],
        ["h"],
        ["h"],
        ["h"],
        ["Home"],
        ["3"],
        ["d"],
        ["d"],
        ["d"],
        ["r"],
        ["r"],
      ] as [string, { altKey?: boolean; shiftKey?: boolean }?][]) {
        (document.activeElement as HTMLElement).blur();
        press(key, modifiers);
        // Every key changes the announcement; only the view keys change other texts on the page.
        listen("vhdr".includes(key) ? document.body : screen.getByTestId("announcer"));
      }
      await waitFor(() => expect(screen.getByTestId("comparison").textContent).toBeTruthy());
      listen();
      press("Enter");
      press("Enter");
      listen();
      (document.activeElement as HTMLElement).blur();
      for (const key of form.rewrite ? ["?", "g", "s", "i", "w", "p"] : ["?", "g", "s", "i", "p"]) {
        press(key);
        const dialog = await waitFor(() => {
          const found = document.querySelector("dialog");
          expect(found?.textContent).toBeTruthy();
          return found as HTMLDialogElement;
        });
        listen();
        for (const radio of dialog.querySelectorAll("input[type=radio]")) {
          fireEvent.click(radio);
          listen();
        }
        fireEvent(dialog, new Event("cancel", { cancelable: true }));
        (document.activeElement as HTMLElement).blur();
      }
    });
    expect(left).toEqual([]);
  });

  it("shows no English text for a revised, refused or lost task", async () => {
    const answer = { ...EMPTY_FIELDS, tiers: [["x 2"], ["w 1"], ["y 3"]], touched: true, duration_ms: 5_000 };
    const refusal = new ApiProblem(422, "‹title›", "‹detail›");
    for (const parts of [
      { how: "revise", answer },
      { how: "revise", answer, refusal },
      { answer, refusal },
      { lost: true },
    ]) {
      const left = await untranslated(SAME, async (listen) => {
        await openDesk(formOf(), parts as Partial<Hand>);
        listen();
        press("p");
        listen();
      });
      expect(left).toEqual([]);
    }
  });

  it("shows no English text for an empty desk, waiting answers or the pace", async () => {
    const entry = (type: string, kept = true) =>
      ({
        key: `${type} ${kept}`,
        assignmentId: "a1",
        assignment: kept ? assignment(FORMS.pair ?? formOf()) : null,
        refusal: { type, title: "‹title›", detail: "‹detail›", errors: [], status: 409 },
      }) as unknown as Entry;
    const unsent = {
      queued: [entry("x"), entry("y")],
      refused: [entry("lease-lost"), entry("already-answered"), entry("other", false)],
      held: new ApiProblem(0, "‹title›"),
      loggedOut: false,
      kept: false,
    } as unknown as OutboxState;
    const noop = () => undefined;
    const left = await untranslated(SAME, async (listen) => {
      const look = async (what: ReactNode) => {
        await show(what);
        await act(async () => undefined);
        listen();
        cleanup();
      };
      const looks = { onLook: noop, onTakeBack: noop };
      answers({
        answered: 12,
        answered_today: 3,
        median_seconds: 40,
        left_today: 5,
        qualification: { tasks: 3, left: 2, attempt: 1, attempts: 2 },
      });
      await look(<Waiting />);
      await look(<Unsent unsent={unsent} deskIsEmpty onSendNow={noop} onBack={noop} onLetGo={noop} />);
      await look(
        <Unsent
          unsent={{ ...unsent, loggedOut: true }}
          deskIsEmpty
          onSendNow={noop}
          onBack={noop}
          onLetGo={noop}
        />,
      );
      await look(<Pace slug="p" />);
      await look(<PracticeBar slug="p" />);
      for (const state of ["active", "paused", "archived"])
        for (const mine of [0, 3])
          await look(
            <NothingToRank
              project={{ ...project, state, counts: { ...project.counts, my_rankings: mine } } as Project}
              done={0}
              {...looks}
            />,
          );
      for (const type of [
        "project-not-active",
        "annotator-paused",
        "annotator-excluded",
        "qualification-failed",
        "cap-reached",
        "daily-cap-reached",
      ] as const)
        await look(<NoTask why={{ type, detail: "‹detail›", mayTakeBack: true }} slug="p" {...looks} />);
      for (const [score, passed, attempts_left] of [
        [1, true, null],
        [0.5, false, 2],
        [0.5, false, 1],
        [0.5, false, 0],
      ] as const) {
        answers({
          score,
          passed,
          attempt_score: score,
          pass_mark: 0.7,
          attempts_left,
          tiers: [["w 1"], ["x 2"]],
          right_tiers: [["w 1"], ["x 2"], ["y 3"]],
          pairs: ["right", "tied", "wrong"].map((said) => ({ better: said, worse: "x 2", said })),
        });
        await look(<Feedback assignment={assignment(formOf())} arrived onNext={noop} />);
      }
    });
    expect(left).toEqual([]);
  });
});
