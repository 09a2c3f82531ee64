import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, within } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { AnnotatorQuality, Estimate, Quality } from "@/api/types";
import { AnnotatorsPanel } from "./AnnotatorsPanel";

const unknown: Estimate = { value: null, low: null, high: null };
const estimate = (value: number, low: number, high: number): Estimate => ({ value, low, high });

const person = (changes: Partial<AnnotatorQuality>): AnnotatorQuality => ({
  username: "alice",
  rankings: 40,
  median_seconds: 42,
  agreement: 0.8,
  n_pairs: 240,
  reliability: estimate(0.91, 0.87, 0.94),
  gold_accuracy: unknown,
  n_gold: 0,
  first_shown_wins: estimate(0.52, 0.44, 0.6),
  longer_wins: unknown,
  as_shown: 0.05,
  as_shown_by_chance: 0.17,
  untouched: 0,
  outlier_p: 0.4,
  outlier_p_adjusted: 0.8,
  ...changes,
});

const quality = (changes: Partial<Quality>): Quality => ({
  pairwise_agreement: 0.8,
  n_pairs: 240,
  agreement: estimate(0.8, 0.76, 0.84),
  agreement_without_ties: 0.85,
  n_pairs_without_ties: 200,
  alpha_nominal: estimate(0.61, 0.55, 0.66),
  alpha_ordinal: unknown,
  n_shared_tasks: 40,
  tau_b: unknown,
  kendall_w: unknown,
  ratings: [],
  first_shown_wins: estimate(0.5, 0.47, 0.53),
  longer_wins: unknown,
  annotators: [person({})],
  per_day: [],
  between: [],
  ...changes,
});

async function open(answer: Quality) {
  vi.stubGlobal("fetch", async () => Response.json(answer));
  render(
    <MantineProvider>
      <QueryClientProvider client={new QueryClient()}>
        <AnnotatorsPanel slug="p" />
      </QueryClientProvider>
    </MantineProvider>,
  );
  await screen.findByText("Annotators");
}

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const cells = (name: string) =>
  within(screen.getByText(name).closest("tr") as HTMLElement)
    .getAllByRole("cell")
    .map((cell) => cell.textContent);

describe("the quality of annotators", () => {
  it("shows agreement with its interval, and leaves out what can't be known", async () => {
    await open(quality({}));
    expect(screen.getByText("0.61 (0.55 to 0.66)")).toBeTruthy();
    expect(screen.queryByText("Kendall’s τ-b")).toBeNull();
    expect(cells("alice")).toEqual(["alice", "40", "42 s", "80 %", "91 %", "–", "52 %", "–", "5 %"]);
  });

  it("marks a bias only where its interval leaves half out", async () => {
    const leaning = person({ username: "ben", first_shown_wins: estimate(0.7, 0.58, 0.8) });
    await open(quality({ annotators: [person({}), leaning] }));
    expect(cells("ben")[6]).toBe("70 % leans");
    expect(cells("alice")[6]).toBe("52 %");
  });

  it("marks somebody unlike the others by the adjusted p-value, not the raw one", async () => {
    const odd = person({ username: "ben", outlier_p: 1e-6, outlier_p_adjusted: 2e-6 });
    const unlucky = person({ username: "cleo", outlier_p: 0.005, outlier_p_adjusted: 0.1 });
    await open(quality({ annotators: [odd, unlucky] }));
    expect(cells("ben")[0]).toBe("ben unlike the others");
    expect(cells("cleo")[0]).toBe("cleo");
  });
});
