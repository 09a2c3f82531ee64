import { describe, expect, it } from "vitest";
import type { Project } from "@/api/types";
import { changedIn, changesOf, draftOf, wayFirst, withWay } from "./draft";

const project = {
  name: "Support",
  guidelines: "",
  overlap: 2,
  lease_seconds: 900,
  allocation_policy: "finish_started",
  max_per_annotator: null,
  max_per_annotator_per_day: 40,
  skip_ways: ["others", "me"],
  review_below: 0.29,
  checks: {
    gold_rate: 0.07,
    attention_rate: 0,
    gold_minimum_accuracy: 0.7,
    gold_minimum_answers: 10,
    qualification_pass_mark: null,
    qualification_attempts: 2,
    qualification_tasks: null,
  },
} as unknown as Project;

describe("edited settings", () => {
  it("values are shown in percent and minutes; unedited values are not sent", () => {
    const draft = draftOf(project);
    expect(draft).toMatchObject({ reviewBelow: 29, goldRate: 7, minimumAccuracy: 70, leaseMinutes: 15 });
    expect(changedIn(project, draft)).toEqual([]);
    expect(changesOf(project, draft)).toEqual({});
  });

  it("settings are sent only if changed, each under its API name", () => {
    const draft = {
      ...draftOf(project),
      name: " Support desk ",
      maxPerDay: null,
      leaseMinutes: 2.5,
      attentionRate: 5.5,
      minimumAccuracy: null,
      passMark: 80,
      attemptTasks: 5,
    };
    expect(changesOf(project, draft)).toEqual({
      name: "Support desk",
      max_per_annotator_per_day: null,
      lease_seconds: 150,
      checks: {
        attention_rate: 0.055,
        gold_minimum_accuracy: null,
        qualification_pass_mark: 0.8,
        qualification_tasks: 5,
      },
    });
    expect(changedIn(project, draft)).toHaveLength(7);
  });

  it("the order of the skip options is sent, and one option always remains", () => {
    const swapped = { ...draftOf(project), skipWays: wayFirst(["others", "me"], "me") };
    expect(changesOf(project, swapped)).toEqual({ skip_ways: ["me", "others"] });
    expect(withWay(["others"], "others", false)).toEqual(["others"]);
    expect(withWay(["others", "me"], "others", false)).toEqual(["me"]);
    expect(withWay(["others"], "drop", true)).toEqual(["others", "drop"]);
  });
});
