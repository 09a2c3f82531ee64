import type { Texts } from "@/shared/i18n";
import type { en } from "./order.en";

const und = (letters: readonly string[]) =>
  letters.length < 2 ? (letters[0] ?? "") : `${letters.slice(0, -1).join(", ")} und ${letters.at(-1)}`;

export const de: Texts<typeof en> = {
  tier: (letters) => (letters.length > 1 ? `${und(letters)} gleichauf` : und(letters)),
  tiers: (tiers) => tiers.join(", dann "),
  nothing: "nichts ist eingeordnet",
  nothingToUndo: "Es gibt nichts rückgängig zu machen.",
  undone: (order) => `Rückgängig gemacht. Reihenfolge: ${order}.`,
  noTies: "Dieses Projekt erlaubt keinen Gleichstand.",
  staysUnranked: (letter) => `Antwort ${letter} bleibt ohne Platz.`,
  atTheTop: (letter) => `Antwort ${letter} steht schon ganz oben.`,
  atTheBottom: (letter) => `Antwort ${letter} steht schon ganz unten.`,
  stays: (letter, slot) => `Antwort ${letter} bleibt auf Platz ${slot}.`,
  unranked: (letter) => `Antwort ${letter} ist nicht mehr eingeordnet.`,
  placed: (letter, slot, slots) => `Antwort ${letter}: Platz ${slot} von ${slots}.`,
  placedTied: (letter, slot, slots, others) =>
    `Antwort ${letter}: Platz ${slot} von ${slots}, gleichauf mit ${und(others)}.`,
  madeRoom: (letters) =>
    letters.length === 1
      ? `${und(letters)} hat Platz gemacht und ist nicht mehr eingeordnet.`
      : `${und(letters)} haben Platz gemacht und sind nicht mehr eingeordnet.`,

  whole: "Die Reihenfolge, die beste zuerst",
  rank: (slot) => `Platz ${slot}`,
  rankOfTie: (slot) => `Platz ${slot}, gleichauf`,
  notRanked: "Nicht eingeordnet",
  drag: (letter) => `Antwort ${letter} auf einen anderen Platz ziehen`,
  goTo: (letter) => `Zu Antwort ${letter} gehen: `,

  which: "Welche ist besser?",
  whichAndHowMuch: "Welche ist besser, und um wie viel?",
  better: (letter) => `${letter} ist besser`,
  // Each project chooses the labels of its degrees, possibly in another language. Therefore, the labels do
  // not always fit into a sentence.
  betterBy: (letter, degree) => `${letter}: ${degree}`,
};
