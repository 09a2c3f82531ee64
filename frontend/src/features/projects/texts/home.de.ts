import { count, plural } from "@/shared/format";
import type { Texts } from "@/shared/i18n";
import type { en } from "./home.en";

const tasks = (n: number) => plural(n, "Aufgabe", "Aufgaben");
const rankings = (n: number) => plural(n, "Rangfolge", "Rangfolgen");

export const de: Texts<typeof en> = {
  title: "Projekte",
  loading: "Die Projekte werden geladen",
  newProject: "Neues Projekt",
  roles: { annotator: "ordnet", reviewer: "ordnet und prüft", manager: "leitet", admin: "verwaltet" },
  states: { active: "aktiv", paused: "ruht", archived: "archiviert" },
  toSettle: (n) => `${plural(n, "Meldung", "Meldungen")} offen`,
  tasksOf: (project) => `${project}: erledigte Aufgaben`,
  noneYet: "noch keine Aufgaben",
  done: (n, of) => `${count(n)} von ${tasks(of)} erledigt`,
  rankings,
  rank: "Ordnen",
  first: "Das erste Projekt anlegen",
  firstText:
    "In einem Projekt liegen die Anfragen und die Antworten, die zu ordnen sind, was über sie gefragt wird, und die Modelle, die daran lernen.",
  none: "Noch in keinem Projekt",
  noneText: (username) =>
    `Wer ein Projekt leitet, nimmt andere über ihren Benutzernamen auf, hier ${username}. Danach steht es auf dieser Seite.`,

  wanted: (overlap) => `Gewünscht: ${rankings(overlap)} je Aufgabe.`,
  doneAndWanted: (n, of, overlap) =>
    `${count(n)} von ${tasks(of)} erledigt; gewünscht: ${rankings(overlap)} je Aufgabe.`,
  noTasks: "Noch keine Aufgaben.",
  pausedTitle: "In diesem Projekt gibt es hier vorerst keine Aufgaben",
  pausedText: "Es geht weiter, sobald jemand, der das Projekt leitet, es erlaubt.",
  tasksDone: "Erledigte Aufgaben",
  next: "Als Nächstes",
  steps: {
    import: {
      title: "Etwas zum Ordnen hereinholen",
      text: "Eine Datei mit Anfragen und Antworten auf der Datenseite ablegen. Formate werden erkannt, und jede unbrauchbare Zeile wird mit ihrem Grund genannt.",
      action: "Daten importieren",
    },
    train: {
      title: "Den Kreis schließen",
      text: (n, comparisons) =>
        `Aus ${rankings(n)} ${n === 1 ? "wird" : "werden"} ${plural(comparisons, "Vergleich", "Vergleiche")}. Ein Belohnungsmodell macht daraus eine Bewertung, und an ihr lernt das Sprachmodell.`,
      action: "Belohnungsmodell trainieren",
    },
    improve: {
      title: "Das Sprachmodell verbessern",
      text: (rewardModel) =>
        `Das Belohnungsmodell ${rewardModel} hat aus den Rangfolgen gelernt. Ein Sprachmodell wird besser an dem, was es hoch bewertet.`,
      action: "PPO starten",
    },
    ask: {
      title: "Das verbesserte Sprachmodell antworten lassen",
      text: (policy) => `Was ${policy} auf Anfragen sagt, sind die nächsten Aufgaben.`,
      action: "Antworten holen",
    },
    watch: {
      title: "Ein Lauf ist im Gange",
      text: "Seine Seite zeigt, wie es geht; wenn er zu Ende ist, steht hier, was als Nächstes kommt.",
      action: "Ansehen",
    },
    rank: {
      title: "Die erste Aufgabe ordnen",
      goOn: "Weiter ordnen",
      text: (open) =>
        `${open === null ? "Aufgaben warten" : `${tasks(open)} ${open === 1 ? "wartet" : "warten"}`}. Zu ordnen sind die Antworten auf eine Anfrage, die beste zuerst; alle Tasten zeigt die Taste ?.`,
      action: "Anfangen",
    },
    invite: {
      title: "Leute zum Ordnen einladen",
      text: (open, overlap) =>
        `${tasks(open)} ${open === 1 ? "ist" : "sind"} offen; gewünscht: ${rankings(overlap)} je Aufgabe.`,
      action: "Mitglieder aufnehmen",
    },
    sample: {
      title: "Neue Antworten holen",
      text: "Alles ist geordnet. Ein Sprachmodell kann auf Anfragen antworten: das werden die nächsten Aufgaben.",
      action: "Antworten holen",
    },
  },
  perDay: "Rangfolgen je Tag",
  onDay: (day, n) => `${day}: ${rankings(n)}`,
  atMost: (n) => `höchstens ${count(n)} am Tag`,
  counts: {
    prompts: "Anfragen",
    responses: "Antworten",
    open: "offene Aufgaben",
    rankings: "Rangfolgen",
    comparisons: "Vergleiche",
    mine: "von hier geordnet",
    byAll: "Rangfolgen insgesamt",
  },
  guidelines: "Richtlinien",
  guidelinesField: "Richtlinien, in Markdown",
  noGuidelines: "Noch keine.",
  writeSome: "Zwei Absätze darüber, was eine Antwort besser macht, ersparen viele Uneinigkeiten.",
  edit: "Ändern",
  save: "Speichern",
  cancel: "Abbrechen",
};
