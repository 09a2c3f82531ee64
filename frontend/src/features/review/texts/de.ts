import { plural } from "@/shared/format";
import type { Texts } from "@/shared/i18n";
import type { en } from "./en";

export const de: Texts<typeof en> = {
  title: "Prüfen",
  lead: (below) =>
    `Aufgaben mit einer Übereinstimmung unter ${below}, die niedrigste zuerst. Die Entscheidung hier hat Vorrang vor den Rangfolgen.`,
  next: "Nächste Aufgabe prüfen",
  looking: "Die Aufgaben werden geladen",
  nothing: "Nichts zu prüfen",
  nothingWhy: (below) =>
    `Eine Aufgabe erscheint hier, wenn mindestens zwei Personen sie geordnet haben und ihre Übereinstimmung unter ${below} liegt.`,
  toDecide: (n) => `${plural(n, "Aufgabe", "Aufgaben")} zu entscheiden`,
  decisions: (n) => plural(n, "Entscheidung", "Entscheidungen"),
  prompt: "Anfrage",
  agreement: "Übereinstimmung",
  rankings: "Rangfolgen",
  openAt: "Offen bei",
  open: "Öffnen",
  decidedBy: "Entschieden von",
  decideAnew: "Entscheidung ändern",
  conversationAndAnswers: "Gespräch und Urteile",
  conversation: "Gespräch",
  peopleSaid: (n) => (n === 1 ? "Urteil einer Person" : `Urteile von ${n} Personen`),
  notNamed: "(ohne Namen)",
  rewrite: (text) => `Neufassung: ${text}`,
  decidedSo: (by, order) => `${by} entschied: ${order}. Eine neue Entscheidung ersetzt diese.`,
  yourDecision: "Die Entscheidung",
  leaveOut: (n) =>
    `Beantworten oder noch einmal entscheiden, um ${n === 1 ? "die Frage" : "die Fragen"} zu überspringen.`,
  notYours: "Diese Aufgabe ist nicht mehr zugeteilt",
  decide: "Entscheiden",
  leave: "Zurückgeben",
  guidelines: "Richtlinien",
  said: {
    notRankable: "Lässt sich nicht ordnen",
    noOrder: "Keine Reihenfolge",
    allBad: "Alle schlecht",
    orderAllBad: (order) => `${order}, alle schlecht`,
    bestIs: (degree) => `Die beste: ${degree}`,
    bestBy: (degree) => `Die beste ist um ${degree} besser`,
    confidence: (level) => `Sicherheit: ${level}`,
    flagged: (letter, flags) => `${letter} ist gekennzeichnet: ${flags}`,
  },
};
