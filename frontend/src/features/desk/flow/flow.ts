import type { ApiProblem } from "@/api/problem";
import type { Assignment } from "@/api/types";
import type { Draft } from "@/ranking/answer/answer";

/** A task on the desk. */
export type Hand = {
  readonly assignment: Assignment;
  /** `revise`: the answer was submitted before and has been taken back. */
  readonly how: "submit" | "revise";
  /** The answer to start from; null to start from the newest draft, if any. */
  readonly answer: Draft | null;
  /** The server's reason for refusing `answer`. */
  readonly refusal: ApiProblem | null;
  /**
   * The lease has ended or belongs to another annotator: the task can be read, but no answer can be
   * submitted.
   */
  readonly lost: boolean;
};

/** The task on the desk, the tasks leased in advance, and the task put aside while an answer is revised. */
export type Flow = {
  readonly desk: Hand | null;
  readonly ahead: readonly Assignment[];
  readonly aside: Hand | null;
};

export const EMPTY: Flow = { desk: null, ahead: [], aside: null };

export function toRank(assignment: Assignment): Hand {
  return { assignment, how: "submit", answer: null, refusal: null, lost: false };
}

/** A key that identifies a lease by its task and its token. A new token means a new lease. */
export const leaseOf = ({ id, token }: Pick<Assignment, "id" | "token">) => `${id} ${token}`;

type Claimed = {
  /** The leases on the server, oldest first. */
  leases: readonly Assignment[];
  /**
   * Leases whose answers have been submitted, including answers that the server has not received yet. If the
   * server handles a claim before it receives such an answer, the claim still returns the lease of the
   * answered task.
   */
  answered: ReadonlySet<string>;
  /** Whether the user has started to answer this task in this browser. */
  begun: (assignmentId: string) => boolean;
};

/**
 * Replaces this page's leases with those on the server, because leases can change in another tab or expire.
 */
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

/**
 * Replaces a task that has been answered or skipped with the task that was put aside or, if there is none, with the
 * next task leased in advance.
 */
export function left(flow: Flow): Flow {
  if (flow.aside) return { ...flow, desk: flow.aside, aside: null };
  return handOut({ ...flow, desk: null });
}

/** Puts an earlier answer on the desk and sets the current task aside. */
export function tookBack(flow: Flow, hand: Hand): Flow {
  const { desk } = flow;
  const ahead = flow.ahead.filter(({ id }) => id !== hand.assignment.id);
  const aside = flow.aside ?? (desk?.how === "submit" && !desk.lost ? desk : null);
  return { desk: hand, ahead, aside: aside?.assignment.id === hand.assignment.id ? null : aside };
}

/** Removes a task from `ahead` when its lease has ended. */
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
