import type { RankingGiven } from "@/api/types";

/** Letters for a task's responses, in page order. Model names would be too long and would reveal the source. */
export function lettersOf(responses: readonly { id: string }[]): Map<string, string> {
  return new Map(responses.map(({ id }, index) => [id, String.fromCharCode(65 + index)]));
}

/** The tiers as letters, best first, followed by the unranked responses. */
export function placesOf(
  ranking: Pick<RankingGiven, "tiers" | "shown_order">,
  letters: ReadonlyMap<string, string>,
): { tiers: string[][]; unranked: string[] } {
  const letter = (id: string) => letters.get(id) ?? "?";
  const tiers = ranking.tiers.map((tier) => tier.map(letter).sort());
  const ranked = new Set(ranking.tiers.flat());
  return {
    tiers,
    unranked:
      tiers.length === 0
        ? []
        : ranking.shown_order
            .filter((id) => !ranked.has(id))
            .map(letter)
            .sort(),
  };
}
