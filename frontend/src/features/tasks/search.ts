import * as v from "valibot";
import { day, param, searchOf, text, whole } from "@/shared/search";

export const STATES = ["open", "done", "dropped"] as const;
export const KINDS = ["ranking", "gold", "attention", "qualification"] as const;
export const HAS = ["comment", "flags", "rewrite"] as const;

/**
 * The filters of the task and ranking lists. The filters are part of the URL, so that a filtered list can be
 * shared.
 */
export const tasksSearch = searchOf({
  list: param(v.literal("rankings")),
  says: param(text),
  state: param(v.picklist(STATES)),
  kind: param(v.picklist(KINDS)),
  round: param(whole(2 ** 31 - 1)),
  model: param(text),
  /** Only tasks with agreement below this percentage: 60 means "under 60 %". */
  under: param(whole(100)),
  has: param(v.picklist(HAS)),
  annotator: param(text),
  /** The first and last day, as whole days in UTC. */
  from: param(day),
  until: param(day),
});

export type TasksSearch = v.InferOutput<typeof tasksSearch>;

/** Number of active filters. The choice between the two lists does not count as a filter. */
export function conditions({ list: _, ...rest }: TasksSearch): number {
  return Object.keys(rest).length;
}

/** The search parameters for switching to `list`, with the filters that both lists support. */
export function asList(search: TasksSearch, list: "tasks" | "rankings"): TasksSearch {
  const { list: _, state, ...both } = search;
  return list === "rankings" ? { ...both, list } : { ...both, ...(state && { state }) };
}

function dayAfter(day: string): string {
  const next = new Date(`${day}T00:00:00Z`);
  next.setUTCDate(next.getUTCDate() + 1);
  return next.toISOString();
}

/** The API parameters that the task list and the ranking list share. */
function common({ says, round, model, under, has, annotator, from, until }: TasksSearch) {
  return {
    ...(says && { says }),
    ...(round !== undefined && { round }),
    ...(model && { model }),
    // At 100, the filter matches every task ranked by at least two annotators, even a task with 100 %
    // agreement.
    ...(under !== undefined && { agreement_below: under === 100 ? 1.01 : under / 100 }),
    ...(has && { has }),
    ...(annotator && { annotator }),
    ...(from && { after: `${from}T00:00:00Z` }),
    ...(until && { before: dayAfter(until) }),
  };
}

export function tasksParams(search: TasksSearch) {
  const { kind, state } = search;
  return { ...common(search), ...(kind && { kind }), ...(state && { state }) };
}

export function rankingsParams(search: TasksSearch) {
  return { ...common(search), ...(search.kind && { task_kind: search.kind }) };
}
