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
    "Dieses Projekt hat keine schriftlichen Richtlinien. Maßstab ist, welche Antwort man selbst lieber bekommen hätte.",
  yourAnswer: "Das Urteil",
  yourRanking: "Die Rangfolge",
  undo: "Rückgängig",
  notComparable: "Nicht vergleichbar",
  notChosen: "Noch nicht gewählt",
  answerOrLeaveOut: (n) =>
    `Beantworten oder noch einmal absenden, um ${n === 1 ? "die Frage" : "die Fragen"} auszulassen.`,
  notSubmitted: (open) => `Noch nicht abgesendet. Nicht beantwortet: ${open}.`,
  submitAnswer: "Absenden",
  submitRanking: "Absenden",
  skip: "Überspringen",
  keys: "Tastenkürzel",

  untouchedTitle: "Die Reihenfolge ist unverändert",
  untouched: "Diese Reihenfolge trotzdem absenden?",
  untouchedWhy: "Die angezeigte Reihenfolge ist zufällig und selten die gewünschte.",
  keepRanking: "Weiter ordnen",
  submitThisOrder: "Diese Reihenfolge absenden",

  skipTitle: "Diese Aufgabe überspringen",
  skipTask: "Überspringen",
  skipSayWhy: "Der Grund hilft, unbrauchbare Anfragen zu finden.",
  skipAnd: "Was geschieht mit dieser Aufgabe?",
  skipReason: "Grund",
  skipReasons: {
    topic: "Ich kann dieses Thema nicht beurteilen",
    nonsense: "Die Anfrage ergibt keinen Sinn",
    language: "Der Text ist in einer Sprache, die ich nicht lese",
    upsetting: "Der Inhalt ist schädlich oder verstörend",
  },
  skipWays: {
    me: {
      label: "Später noch einmal zeigen",
      says: "Die Aufgabe erscheint wieder, wenn es keine anderen Aufgaben mehr gibt.",
    },
    others: {
      label: "Anderen überlassen",
      says: "Jemand anderes bekommt die Aufgabe. Hier erscheint sie nicht mehr.",
    },
    drop: { label: "Verwerfen", says: "Niemand bekommt diese Aufgabe mehr." },
  },

  rankedAll: "Alle eigenen Aufgaben sind erledigt",
  nothingYet: "Noch gibt es nichts zu ordnen",
  lookAgain: "Aktualisieren",
  overview: "Projektübersicht",
  stopped: {
    active: "",
    paused: "Dieses Projekt ruht. Die Arbeit geht weiter, sobald die Projektleitung es wieder aktiviert.",
    archived:
      "Dieses Projekt ist archiviert. Die Arbeit geht weiter, sobald die Projektleitung es wieder aktiviert.",
  },
  mine: (n) => `Bisher ${rankings(n)} abgesendet.`,
  wanted: (overlap) =>
    `Jede Aufgabe braucht ${rankings(overlap)} von ${overlap === 1 ? "einer Person" : "verschiedenen Personen"}, und niemand ordnet dieselbe Aufgabe zweimal.`,
  newTasks:
    "Neue Aufgaben entstehen, wenn die Projektleitung Antworten importiert oder die Administration ein Modell antworten lässt.",
  others: (open, tasks) =>
    `${count(open)} von ${plural(tasks, "Aufgabe", "Aufgaben")} ${open === 1 ? "wartet" : "warten"} noch auf andere.`,
  comesBack: "Übersprungene Aufgaben erscheinen hier wieder.",
  looksAgain: "Diese Seite sucht automatisch nach neuen Aufgaben.",
  none: {
    "project-not-active": "Dieses Projekt vergibt zurzeit keine Aufgaben",
    "annotator-paused": "Die Teilnahme an diesem Projekt ist pausiert",
    "annotator-excluded": "Von diesem Projekt ausgeschlossen",
    "qualification-failed": "Die Qualifikation für dieses Projekt wurde nicht bestanden",
    "cap-reached": "Das persönliche Limit in diesem Projekt ist erreicht",
    "daily-cap-reached": "Das Limit für heute ist erreicht",
  },
};
