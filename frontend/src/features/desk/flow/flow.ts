import type { ApiProblem } from "@/api/problem";
import type { Assignment } from "@/api/types";
import type { Draft } from "@/ranking/answer/answer";

/** A task in somebody's hands. */
export type Hand = {
  readonly assignment: Assignment;
  /** `revise`: it was answered before, and the answer has been taken back. */
  readonly how: "submit" | "revise";
  /** The answer it begins with; null: the newest draft, if there is one. */
  readonly answer: Draft | null;
  /** Why that answer was not taken. */
  readonly refusal: ApiProblem | null;
  /** The lease is somebody else's or has ended: it can be read, not submitted. */
  readonly lost: boolean;
};

/** What lies on the desk, what comes next, and what was put aside to take an answer back. */
export type Flow = {
  readonly desk: Hand | null;
  readonly ahead: readonly Assignment[];
  readonly aside: Hand | null;
};

export const EMPTY: Flow = { desk: null, ahead: [], aside: null };

export function toRank(assignment: Assignment): Hand {
  return { assignment, how: "submit", answer: null, refusal: null, lost: false };
}

/** A lease by its name: the same task under a new token is another lease. */
export const leaseOf = ({ id, token }: Pick<Assignment, "id" | "token">) => `${id} ${token}`;

type Claimed = {
  /** The leases as the server knows them, oldest first. */
  leases: readonly Assignment[];
  /** Those whose answer was given, whether the server has it yet or not: an answer may cross a claim on the way. */
  answered: ReadonlySet<string>;
  /** Whether somebody has begun to answer this task here. */
  begun: (assignmentId: string) => boolean;
};

/** What the server says is held takes the place of what this page thought: another tab or the clock may have changed it. */
export function claimed(flow: Flow, { leases, answered, begun }: Claimed): Flow {
  const open = leases.filter(
    (lease) => !answered.has(leaseOf(lease)) && !(flow.aside && lease.id === flow.desk?.assignment.id),
  );
  const inHand = flow.aside ?? flow.desk;
  if (!inHand || inHand.how === "revise") return handOut({ ...flow, ahead: open });
  const { assignment } = inHand;
  if (open.some((lease) => leaseOf(lease) === leaseOf(assignment))) {
    return { ...flow, ahead: open.filter(({ id }) => id !== assignment.id) };
  }
  const again = open.find(({ id }) => id === assignment.id);
  if (!again && begun(assignment.id)) return replace({ ...flow, ahead: open }, { ...inHand, lost: true });
  const [next, ...rest] = again ? [again, ...open.filter((lease) => lease !== again)] : open;
  return replace({ ...flow, ahead: rest }, next ? toRank(next) : null);
}

/** The answer to what lies on the desk was given, or it was skipped: what was put aside comes back, else the next. */
export function left(flow: Flow): Flow {
  if (flow.aside) return { ...flow, desk: flow.aside, aside: null };
  return handOut({ ...flow, desk: null });
}

/** An earlier answer comes back to the desk; the task in hand waits meanwhile. */
export function tookBack(flow: Flow, hand: Hand): Flow {
  const { desk } = flow;
  const ahead = flow.ahead.filter(({ id }) => id !== hand.assignment.id);
  const aside = flow.aside ?? (desk?.how === "submit" && !desk.lost ? desk : null);
  return { desk: hand, ahead, aside: aside?.assignment.id === hand.assignment.id ? null : aside };
}

/** A lease that was held ahead has ended. */
export function lostAhead(flow: Flow, lease: string): Flow {
  return { ...flow, ahead: flow.ahead.filter((one) => leaseOf(one) !== lease) };
}

function replace(flow: Flow, hand: Hand | null): Flow {
  return flow.aside ? { ...flow, aside: hand } : { ...flow, desk: hand };
}

function handOut(flow: Flow): Flow {
  if (flow.desk) return flow;
  const [next, ...rest] = flow.ahead;
  return next ? { ...flow, desk: toRank(next), ahead: rest } : flow;
}
