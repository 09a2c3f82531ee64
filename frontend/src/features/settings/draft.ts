import type { Project, ProjectChanges, SkipWay } from "@/api/types";

type Checks = NonNullable<Project["checks"]>;

/** The values on the settings page, in the displayed units: shares in percent, and the lease duration in minutes. */
export type Draft = {
  name: string;
  guidelines: string;
  overlap: number;
  leaseMinutes: number;
  policy: Project["allocation_policy"];
  max: number | null;
  maxPerDay: number | null;
  skipWays: readonly SkipWay[];
  reviewBelow: number;
  goldRate: number;
  attentionRate: number;
  minimumAccuracy: number | null;
  minimumAnswers: number;
  passMark: number | null;
  attempts: number;
  attemptTasks: number | null;
};

/** Rounds the percentage, because 0.29 × 100 is 28.999999999999996. */
const toPercent = (share: number) => Number((share * 100).toFixed(4));
const toShare = (percent: number) => Number((percent / 100).toFixed(6));
const maybe = (value: number | null | undefined, convert: (value: number) => number) =>
  value === null || value === undefined ? null : convert(value);

export function draftOf(project: Project): Draft {
  const checks: Partial<Checks> = project.checks ?? {};
  return {
    name: project.name,
    guidelines: project.guidelines,
    overlap: project.overlap,
    leaseMinutes: project.lease_seconds / 60,
    policy: project.allocation_policy,
    max: project.max_per_annotator,
    maxPerDay: project.max_per_annotator_per_day,
    skipWays: project.skip_ways,
    reviewBelow: toPercent(project.review_below),
    goldRate: toPercent(checks.gold_rate ?? 0),
    attentionRate: toPercent(checks.attention_rate ?? 0),
    minimumAccuracy: maybe(checks.gold_minimum_accuracy, toPercent),
    minimumAnswers: checks.gold_minimum_answers ?? 10,
    passMark: maybe(checks.qualification_pass_mark, toPercent),
    attempts: checks.qualification_attempts ?? 2,
    attemptTasks: checks.qualification_tasks ?? null,
  };
}

const PLAIN: { [K in keyof Draft]?: (draft: Draft) => Omit<ProjectChanges, "checks"> } = {
  name: ({ name }) => ({ name: name.trim() }),
  guidelines: ({ guidelines }) => ({ guidelines }),
  overlap: ({ overlap }) => ({ overlap }),
  leaseMinutes: ({ leaseMinutes }) => ({ lease_seconds: Math.round(leaseMinutes * 60) }),
  policy: ({ policy }) => ({ allocation_policy: policy }),
  max: ({ max }) => ({ max_per_annotator: max }),
  maxPerDay: ({ maxPerDay }) => ({ max_per_annotator_per_day: maxPerDay }),
  skipWays: ({ skipWays }) => ({ skip_ways: [...skipWays] }),
  reviewBelow: ({ reviewBelow }) => ({ review_below: toShare(reviewBelow) }),
};
const CHECKS: { [K in keyof Draft]?: (draft: Draft) => NonNullable<ProjectChanges["checks"]> } = {
  goldRate: ({ goldRate }) => ({ gold_rate: toShare(goldRate) }),
  attentionRate: ({ attentionRate }) => ({ attention_rate: toShare(attentionRate) }),
  minimumAccuracy: ({ minimumAccuracy }) => ({ gold_minimum_accuracy: maybe(minimumAccuracy, toShare) }),
  minimumAnswers: ({ minimumAnswers }) => ({ gold_minimum_answers: minimumAnswers }),
  passMark: ({ passMark }) => ({ qualification_pass_mark: maybe(passMark, toShare) }),
  attempts: ({ attempts }) => ({ qualification_attempts: attempts }),
  attemptTasks: ({ attemptTasks }) => ({ qualification_tasks: attemptTasks }),
};

/** The settings that differ from the project's current settings, sent in one atomic request. */
export function changesOf(project: Project, draft: Draft): ProjectChanges {
  const changed = changedIn(project, draft);
  const plain = changed.map((key) => PLAIN[key]?.(draft) ?? {});
  const checks = changed.map((key) => CHECKS[key]?.(draft) ?? {});
  const merged = Object.assign({}, ...checks) as NonNullable<ProjectChanges["checks"]>;
  return { ...Object.assign({}, ...plain), ...(Object.keys(merged).length > 0 && { checks: merged }) };
}

export function changedIn(project: Project, draft: Draft): (keyof Draft)[] {
  const was = draftOf(project);
  return (Object.keys(was) as (keyof Draft)[]).filter((key) => String(was[key]) !== String(draft[key]));
}

/**
 * Adds or removes a skip option. The last remaining option can't be removed, because at least one option is
 * required.
 */
export function withWay(ways: readonly SkipWay[], way: SkipWay, on: boolean): readonly SkipWay[] {
  if (on) return ways.includes(way) ? ways : [...ways, way];
  const rest = ways.filter((other) => other !== way);
  return rest.length > 0 ? rest : ways;
}

export function wayFirst(ways: readonly SkipWay[], way: SkipWay): readonly SkipWay[] {
  return [way, ...ways.filter((other) => other !== way)];
}
