import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import type { Answer, Assignment } from "@/api/types";
import { figuresQuery, giveBack, leasesQuery } from "../api/assignments";
import { forget, keep, readKept } from "../draft/kept";
import { keptAs } from "../draft/useDraft";
import { asProblemAgain, type Unsent } from "../outbox/store";
import { useOutbox } from "../outbox/useOutbox";
import { claimed, EMPTY, type Hand, leaseOf, left, lostAhead, tookBack } from "./flow";

/** Interval at which an idle desk checks for new tasks. */
const LOOK_AGAIN_MS = 20_000;

/** The outcome of the previous task. */
type Happened = "" | "given" | "skipped" | "elsewhere" | "revised";

/**
 * The annotator's desk in a project: the current task, the tasks leased in advance, and the answers waiting
 * to be sent. A submitted answer is put in the outbox, and the next task is shown immediately. The server's
 * replies are handled in the background.
 */
export function useFlow(slug: string, user: string) {
  const queryClient = useQueryClient();
  const { outbox, unsent } = useOutbox(user);
  const leases = useQuery(leasesQuery(slug));
  const [flow, setFlow] = useState(EMPTY);
  const [happened, setHappened] = useState<{ what: Happened; given: number }>({ what: "", given: 0 });
  const [practised, setPractised] = useState<Assignment | null>(null);
  const answered = useRef(new Set<string>());
  const { refetch, data, dataUpdatedAt } = leases;
  const ask = useCallback(() => void refetch(), [refetch]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the effect must also run when the same leases arrive again
  useEffect(() => {
    if (data === undefined) return;
    const state = outbox.getState();
    for (const entry of state.queued) answered.current.add(leaseGiven(entry));
    for (const lease of data) {
      const late = state.refused.find((entry) => cameTooLate(entry) && entry.assignmentId === lease.id);
      // The answer was refused because the lease had ended, and the task was then leased to this user again.
      // The answer is still in this browser, so it is sent under the new lease, and the task is not shown
      // again.
      if (!late || late.answer.token === lease.token) continue;
      answered.current.add(leaseOf(lease));
      outbox.sendUnder(late.key, lease.token);
    }
    setFlow((now) =>
      claimed(now, { leases: data, answered: answered.current, begun: (id) => readKept(id) !== null }),
    );
  }, [data, dataUpdatedAt, outbox]);

  useEffect(
    () =>
      outbox.whenSettled((entry) => {
        if (entry.slug !== slug) return;
        void queryClient.invalidateQueries({ queryKey: figuresQuery(slug).queryKey });
        // After an answer is accepted, another task can be leased in advance. After an answer is refused, its
        // task may be leased to this user again.
        if (entry.how === "submit") ask();
      }),
    [outbox, queryClient, slug, ask],
  );

  // A task that was answered in another tab is removed from this desk, so that it is not answered twice.
  const { desk } = flow;
  const deskLease = desk?.how === "submit" ? leaseOf(desk.assignment) : null;
  const elsewhere = unsent.queued.some((entry) => leaseGiven(entry) === deskLease);
  useEffect(() => {
    if (!elsewhere || deskLease === null || answered.current.has(deskLease)) return;
    answered.current.add(deskLease);
    setFlow(left);
    setHappened(({ given }) => ({ what: "elsewhere", given }));
  }, [elsewhere, deskLease]);

  const idle = desk === null && data !== undefined && unsent.queued.length === 0;
  useEffect(() => {
    if (!idle) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") ask();
    }, LOOK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [idle, ask]);

  // When the user leaves the desk, the tasks leased in advance are released, so that they can be assigned to
  // other annotators.
  const ahead = useRef(flow.ahead);
  ahead.current = flow.ahead;
  useEffect(() => {
    const leave = () => {
      for (const { id, token } of ahead.current) giveBack(id, token);
    };
    const comeBack = (event: PageTransitionEvent) => {
      if (event.persisted) ask();
    };
    window.addEventListener("pagehide", leave);
    window.addEventListener("pageshow", comeBack);
    return () => {
      window.removeEventListener("pagehide", leave);
      window.removeEventListener("pageshow", comeBack);
      leave();
    };
  }, [ask]);

  function goOn(what: Happened) {
    setFlow(left);
    setHappened(({ given }) => ({ what, given: given + (what === "given" ? 1 : 0) }));
    window.scrollTo(0, 0);
  }

  function give({ assignment, how }: Hand, answer: Answer) {
    if (how === "submit") answered.current.add(leaseOf(assignment));
    outbox.add(slug, assignment, how, answer);
    if (assignment.practice) setPractised(assignment);
    goOn(how === "submit" ? "given" : "revised");
  }

  /** Puts a previously submitted answer on the desk. */
  function takeUp(hand: Hand) {
    const { assignment, how, answer } = hand;
    const name = keptAs(assignment.id, how);
    if (answer && readKept(name) === null) {
      keep(name, { draft: answer, version: assignment.draft_version, savedAt: Date.now() });
    }
    setPractised(null);
    setFlow((now) => tookBack(now, hand));
    window.scrollTo(0, 0);
  }

  /**
   * Reopens a refused answer and shows the reason for the refusal. If the task was already answered in
   * another tab, the answer is reopened as a revision.
   */
  function takeUpRefused({ key, assignment, answer, how, refusal }: Unsent) {
    if (!assignment || !refusal) return;
    outbox.drop(key);
    const { token: _, ...draft } = answer;
    const stands = how === "revise" || refusal.type === "already-answered";
    const lost = !stands && refusal.status === 409;
    takeUp({
      assignment: stands ? { ...assignment, token: "" } : assignment,
      how: stands ? "revise" : "submit",
      answer: draft,
      refusal: asProblemAgain(refusal),
      lost,
    });
  }

  return {
    flow,
    outbox,
    unsent,
    happened,
    /** The qualification task that was just answered and whose feedback has not been read. */
    practised,
    claim: leases,
    ask,
    give,
    takeUp,
    takeUpRefused,
    skipped: () => {
      goOn("skipped");
      ask();
    },
    /** Replaces the task on the desk with the task that was put aside, the next task or a newly assigned task. */
    putDown: () => {
      // A lost task can be leased again, so its draft is kept.
      if (desk && !desk.lost && desk.how === "revise") forget(keptAs(desk.assignment.id, desk.how));
      goOn("");
      ask();
    },
    /** Replaces the current task with the server's copy. */
    reload: () => {
      if (desk) forget(keptAs(desk.assignment.id, desk.how));
      setFlow((now) => ({ ...now, desk: null }));
      ask();
    },
    hasRead: () => setPractised(null),
    lostAhead: (lease: string) => setFlow((now) => lostAhead(now, lease)),
  };
}

const leaseGiven = ({ how, assignmentId, answer }: Unsent) =>
  how === "submit" ? leaseOf({ id: assignmentId, token: answer.token }) : "";

const cameTooLate = ({ how, refusal }: Unsent) => how === "submit" && refusal?.type === "lease-lost";
