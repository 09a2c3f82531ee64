import { MantineProvider } from "@mantine/core";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import type { AnnotatorQuality, Estimate, Quality } from "@/api/types";
import { AgreementPanel } from "./AgreementPanel";
import { AnnotatorsPanel } from "./AnnotatorsPanel";
import { PairMatrix } from "./PairMatrix";

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
  reliability_convergence: { converged: true, steps: 14, change: 0 },
  per_day: [],
  between: [],
  ...changes,
});

const open = (changes: Partial<Quality>) =>
  render(
    <MantineProvider>
      <AgreementPanel quality={quality(changes)} />
      <AnnotatorsPanel slug="p" quality={quality(changes)} manages={false} />
      <PairMatrix between={quality(changes).between} />
    </MantineProvider>,
  );

afterEach(cleanup);

const cells = (name: string) =>
  within(screen.getByText(name).closest("tr") as HTMLElement)
    .getAllByRole("cell")
    .map((cell) => cell.textContent);
const names = () => screen.getAllByRole("row").flatMap((row) => row.querySelector("td")?.textContent ?? []);

describe("the quality page", () => {
  it("warns about reliability estimates that are not final", () => {
    open({ reliability_convergence: { converged: false, steps: 1000, change: 0.3 } });
    expect(screen.getByRole("alert").textContent).toContain("limit of 1,000 steps");
    cleanup();
    open({ reliability_convergence: null });
    expect(screen.queryByRole("alert")).toBeNull();
  });

  it("shows agreement with its interval and meaning, and omits unknown values", () => {
    open({});
    expect(screen.getByText("0.61 (0.55 to 0.66)")).toBeTruthy();
    expect(screen.getByText(/but the lower bound of the interval is below 0.667/)).toBeTruthy();
    expect(screen.queryByText("Kendall’s τ-b")).toBeNull();
    expect(cells("alice")).toEqual([
      "alice",
      "40",
      "42 s",
      "–",
      "80 %",
      "91 %87–94",
      "52 %",
      "–",
      "5 %",
      "0.80",
    ]);
  });

  it("marks a bias only if its interval excludes one half", () => {
    const leaning = person({ username: "ben", first_shown_wins: estimate(0.7, 0.58, 0.8) });
    open({ annotators: [person({}), leaning] });
    expect(cells("ben")[6]).toBe("biased 70 %");
    expect(cells("alice")[6]).toBe("52 %");
  });

  it("marks an outlier by the adjusted p-value, not the raw p-value", () => {
    const odd = person({ username: "ben", outlier_p: 1e-6, outlier_p_adjusted: 2e-6 });
    const unlucky = person({ username: "cleo", outlier_p: 0.005, outlier_p_adjusted: 0.1 });
    open({ annotators: [odd, unlucky] });
    expect([cells("ben")[0], cells("ben")[9]]).toEqual(["ben outlier", "< 0.01"]);
    expect(cells("cleo")[0]).toBe("cleo");
  });

  it("sorts by any column, with missing values last, and announces the order", () => {
    const people = [
      person({}),
      person({ username: "ben", rankings: 10, median_seconds: null }),
      person({ username: "cleo", rankings: 90, median_seconds: 7 }),
    ];
    open({ annotators: people });
    expect(names()).toEqual(["cleo", "alice", "ben"]);
    const time = screen.getByRole("button", { name: "Median time" });
    fireEvent.click(time);
    expect(names()).toEqual(["alice", "cleo", "ben"]);
    expect(time.closest("th")?.getAttribute("aria-sort")).toBe("descending");
    fireEvent.click(time);
    expect(names()).toEqual(["cleo", "alice", "ben"]);
    fireEvent.click(screen.getByRole("button", { name: "Annotator" }));
    expect(names()).toEqual(["alice", "ben", "cleo"]);
  });

  it("shows pairwise agreement in both directions", () => {
    open({
      between: [
        { one: "alice", other: "ben", agreement: 0.5, n_pairs: 12 },
        { one: "ben", other: "cleo", agreement: 0.9, n_pairs: 6 },
      ],
    });
    const table = screen.getByRole("region", { name: /by pair of annotators, table/ });
    const rows = within(table).getAllByRole("row").slice(1);
    expect(
      rows.map((row) =>
        within(row)
          .getAllByRole("cell")
          .map((cell) => cell.textContent),
      ),
    ).toEqual([
      ["", "50 %", "–"],
      ["50 %", "", "90 %"],
      ["–", "90 %", ""],
    ]);
    expect(within(table).getAllByTitle("alice and ben agree on 50 % of 12 shared pairs")).toHaveLength(1);
  });
});
