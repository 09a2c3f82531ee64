const and = (letters: readonly string[]) =>
  letters.length < 2 ? (letters[0] ?? "") : `${letters.slice(0, -1).join(", ")} and ${letters.at(-1)}`;

/**
 * Texts that express the order in words, for screen readers, the list, and the scale between two responses.
 */
export const en = {
  tier: (letters: readonly string[]) => (letters.length > 1 ? `${and(letters)} tied` : and(letters)),
  tiers: (tiers: readonly string[]) => tiers.join(", then "),
  nothing: "nothing is ranked",
  nothingToUndo: "Nothing to undo.",
  undone: (order: string) => `Undone. Order: ${order}.`,
  noTies: "This project does not allow ties.",
  staysUnranked: (letter: string) => `Response ${letter} stays unranked.`,
  atTheTop: (letter: string) => `Response ${letter} is already at the top.`,
  atTheBottom: (letter: string) => `Response ${letter} is already at the bottom.`,
  stays: (letter: string, slot: number) => `Response ${letter} stays at rank ${slot}.`,
  unranked: (letter: string) => `Response ${letter} is no longer ranked.`,
  placed: (letter: string, slot: number, slots: number) => `Response ${letter} is rank ${slot} of ${slots}.`,
  placedTied: (letter: string, slot: number, slots: number, others: readonly string[]) =>
    `Response ${letter} is rank ${slot} of ${slots}, tied with ${and(others)}.`,
  madeRoom: (letters: readonly string[]) => `${and(letters)} became unranked because all ranks were taken.`,

  whole: "Your order, best first",
  rank: (slot: number) => `Rank ${slot}`,
  rankOfTie: (slot: number) => `Rank ${slot}, a tie`,
  notRanked: "Not ranked",
  drag: (letter: string) => `Drag response ${letter} to another rank`,
  goTo: (letter: string) => `Go to response ${letter}: `,

  which: "Which is better?",
  whichAndHowMuch: "Which is better, and by how much?",
  better: (letter: string) => `${letter} is better`,
  betterBy: (letter: string, degree: string) => `${letter} is ${degree}`,
};
