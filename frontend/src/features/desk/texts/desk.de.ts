import { count, plural } from "@/shared/format";
import type { Texts } from "@/shared/i18n";
import type { en } from "./desk.en";

const rankings = (n: number) => plural(n, "Rangfolge", "Rangfolgen");

export const de: Texts<typeof en> = {
  title: "Ordnen",
  rank: "Die Antworten ordnen",
  conversation: "Gespräch",
  raw: "Rohtext",
  guidelines: "Richtlinien",
  noGuidelines:
    "Dieses Projekt hat keine geschriebenen Richtlinien. Vorn steht, welche Antwort man selbst lieber bekommen hätte.",
  yourAnswer: "Das Urteil",
  yourRanking: "Die Rangfolge",
  undo: "Rückgängig",
  notComparable: "Nicht vergleichbar",
  notChosen: "Noch nicht gewählt",
  answerOrLeaveOut: (n) =>
    `Beantworten, oder noch einmal absenden, um ${n === 1 ? "es" : "sie"} auszulassen.`,
  notSubmitted: (open) => `Noch nicht abgesendet. Nicht beantwortet: ${open}.`,
  submitAnswer: "Absenden",
  submitRanking: "Absenden",
  skip: "Überspringen",
  keys: "Tasten",

  untouchedTitle: "Die Reihenfolge ist unverändert",
  untouched: "So als Antwort absenden?",
  untouchedWhy: "Die Antworten standen in zufälliger Reihenfolge; sie ist selten die gewollte.",
  keepRanking: "Weiter ordnen",
  submitThisOrder: "Diese Reihenfolge absenden",

  skipTitle: "Diese Aufgabe überspringen",
  skipTask: "Überspringen",
  skipSayWhy: "Den Grund nennen, damit unbrauchbare Anfragen gefunden werden.",
  skipAnd: "Und die Aufgabe",
  skipReason: "Grund",
  skipReasons: {
    topic: "Ich kann dieses Thema nicht beurteilen",
    nonsense: "Die Anfrage ergibt keinen Sinn",
    language: "Sie ist in einer Sprache, die ich nicht lese",
    upsetting: "Sie ist schädlich oder verstörend",
  },
  skipWays: {
    me: { label: "Später noch einmal zeigen", says: "Sie kommt wieder, wenn sonst nichts mehr da ist." },
    others: {
      label: "Anderen überlassen",
      says: "Jemand anderes bekommt sie; hierher kommt sie nicht mehr.",
    },
    drop: { label: "Fallen lassen", says: "Niemand wird mehr gebeten, sie zu ordnen." },
  },

  rankedAll: "Alles ist geordnet, was es hier gibt",
  nothingYet: "Noch gibt es nichts zu ordnen",
  lookAgain: "Noch einmal nachsehen",
  overview: "Projektübersicht",
  stopped: {
    active: "",
    paused: "Dieses Projekt ruht. Es geht weiter, wenn es wieder aktiv ist.",
    archived: "Dieses Projekt ist archiviert. Es geht weiter, wenn es wieder aktiv ist.",
  },
  mine: (n) => `Bisher ${rankings(n)} von hier.`,
  wanted: (overlap) =>
    `Jede Aufgabe braucht ${rankings(overlap)} von ${overlap === 1 ? "einer Person" : "verschiedenen Personen"}, und niemand bekommt dieselbe zweimal.`,
  newTasks:
    "Neue Aufgaben kommen mit einem Import auf der Datenseite, oder wenn ein Modell Anfragen beantwortet.",
  others: (open, tasks) =>
    `${count(open)} von ${plural(tasks, "Aufgabe", "Aufgaben")} ${open === 1 ? "wartet" : "warten"} noch auf andere.`,
  comesBack: "Eine übersprungene oder zurückgegebene Aufgabe kommt wieder hierher.",
  looksAgain: "Diese Seite sieht von selbst nach neuer Arbeit.",
  none: {
    "project-not-active": "Dieses Projekt gibt zurzeit keine Aufgaben aus",
    "annotator-paused": "In diesem Projekt gibt es hier vorerst keine Aufgaben",
    "annotator-excluded": "Von diesem Projekt ausgeschlossen",
    "qualification-failed": "Die Qualifikation für dieses Projekt ist nicht bestanden",
    "cap-reached": "Der eigene Anteil an diesem Projekt ist getan",
    "daily-cap-reached": "Das war alles für heute",
  },
};
