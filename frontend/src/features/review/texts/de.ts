import { plural } from "@/shared/format";
import type { Texts } from "@/shared/i18n";
import type { en } from "./en";

export const de: Texts<typeof en> = {
  title: "Prüfen",
  lead: (below) =>
    `Aufgaben, bei denen die Urteile zu weniger als ${below} übereinstimmen, die strittigsten zuerst. Die Entscheidung hier steht über ihnen.`,
  next: "Die nächste prüfen",
  looking: "Uneinigkeit wird gesucht",
  nothing: "Nichts wartet auf eine Entscheidung",
  nothingWhy: (below) =>
    `Eine Aufgabe kommt hierher, wenn mindestens zwei sie geordnet haben und zu weniger als ${below} übereinstimmen.`,
  toDecide: (n) => `${plural(n, "Aufgabe", "Aufgaben")} zu entscheiden`,
  decisions: (n) => plural(n, "Entscheidung", "Entscheidungen"),
  prompt: "Anfrage",
  agreement: "Übereinstimmung",
  rankings: "Rangfolgen",
  openAt: "Offen bei",
  open: "Öffnen",
  decidedBy: "Entschieden von",
  decideAnew: "Neu entscheiden",
  conversationAndAnswers: "Gespräch und Urteile",
  conversation: "Gespräch",
  peopleSaid: (n) => (n === 1 ? "Was eine Person sagte" : `Was ${n} Personen sagten`),
  notNamed: "(ohne Namen)",
  rewrite: (text) => `Neufassung: ${text}`,
  decidedSo: (by, order) => `${by} entschied: ${order}. Eine neue Entscheidung tritt an die Stelle.`,
  yourDecision: "Die Entscheidung",
  leaveOut: (n) => `Beantworten, oder noch einmal entscheiden, um ${n === 1 ? "es" : "sie"} auszulassen.`,
  notYours: "Diese Aufgabe liegt nicht mehr hier",
  decide: "Entscheiden",
  leave: "Zurückgeben",
  guidelines: "Richtlinien",
  said: {
    notRankable: "Lässt sich nicht ordnen",
    allBad: "Alle schlecht",
    orderAllBad: (order) => `${order}, alle schlecht`,
    bestIs: (degree) => `Die beste: ${degree}`,
    bestBy: (degree) => `Die beste ist um ${degree} besser`,
    confidence: (level) => `Sicherheit: ${level}`,
    flagged: (letter, flags) => `${letter} ist gekennzeichnet: ${flags}`,
  },
};
