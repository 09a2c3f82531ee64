import { describe, expect, it } from "vitest";
import { ApiProblem, problemFrom } from "@/api/problem";
import { en } from "../texts/desk.en";
import { whyNoTask } from "./whyNoTask";

const refusal = (type: string, status = 409) =>
  problemFrom(status, { type, detail: "The reason given by the server." });

describe("reasons why there is no task", () => {
  it.each([
    "project-not-active",
    "annotator-paused",
    "annotator-excluded",
    "qualification-failed",
    "cap-reached",
    "daily-cap-reached",
  ])("explains %s in plain words and includes the server's reason", (type) => {
    const why = whyNoTask(refusal(type));
    expect(why && en.none[why.type]).toMatch(/[a-z ]{10,}/);
    expect(why?.detail).toBe("The reason given by the server.");
  });

  it("offers to take back the last answer if it can be revised", () => {
    expect(whyNoTask(refusal("daily-cap-reached"))?.mayTakeBack).toBe(true);
    expect(whyNoTask(refusal("annotator-paused"))?.mayTakeBack).toBe(false);
  });

  it("gives no reason for any other failure, which the page then shows as an error", () => {
    expect(whyNoTask(refusal("lease-lost"))).toBeNull();
    expect(whyNoTask(refusal("annotator-paused", 500))).toBeNull();
    expect(whyNoTask(new ApiProblem(0, "The server can’t be reached"))).toBeNull();
    expect(whyNoTask(new Error("x"))).toBeNull();
  });
});
