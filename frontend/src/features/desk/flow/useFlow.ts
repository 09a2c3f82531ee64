import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import type { Answer, Assignment } from "@/api/types";
import { figuresQuery, giveBack, leasesQuery } from "../api/assignments";
import { forget, keep, readKept } from "../draft/kept";
import { keptAs } from "../draft/useDraft";
import { asProblemAgain, type Unsent } from "../outbox/store";
import { useOutbox } from "../outbox/useOutbox";
import { claimed, EMPTY, type Hand, leaseOf, left, lostAhead, tookBack } from "./flow";

/** How often an idle desk looks for new work. */
const LOOK_AGAIN_MS = 20_000;

/** What happened to the task before the one on the desk. */
type Happened = "" | "given" | "skipped" | "elsewhere" | "revised";

/**
 * The person's desk in a project: the task in hand, the one leased ahead, and the answers on their way. An answer goes to the
 * outbox and the next task is there at once; what the server says afterwards is brought in without disturbing the desk.
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

  // biome-ignore lint/correctness/useExhaustiveDependencies: the same leases may come twice, and the second time counts
  useEffect(() => {
    if (data === undefined) return;
    const state = outbox.getState();
    for (const entry of state.queued) answered.current.add(leaseGiven(entry));
    for (const lease of data) {
      const late = state.refused.find((entry) => cameTooLate(entry) && entry.assignmentId === lease.id);
      // The task is theirs again, and what they said of it still stands here: it is sent, not asked for twice.
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
        // Taken, it makes room for the next task ahead; refused, its own may come again under a new lease.
        if (entry.how === "submit") ask();
      }),
    [outbox, queryClient, slug, ask],
  );

  // Given in another tab: here it would be given a second time.
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

  // What was only leased ahead is for others as soon as nobody sits here.
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

  /** Puts an answer that was given before on the desk. */
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

  /** Back to an answer that was refused, with the reason. One that was taken from another tab is revised. */
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
    /** A qualification task that was just answered, and whose feedback is to be read. */
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
    /** Leaves what is on the desk for what was put aside, the next, or whatever the server gives. */
    putDown: () => {
      // A task that was lost may come again, and what was said of it with it.
      if (desk && !desk.lost && desk.how === "revise") forget(keptAs(desk.assignment.id, desk.how));
      goOn("");
      ask();
    },
    /** The server's copy of the task in hand, in place of this one. */
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
