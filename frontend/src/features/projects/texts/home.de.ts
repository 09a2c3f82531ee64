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
    "Ein Projekt enthält Anfragen und die zu ordnenden Antworten, die Fragen dazu und die Modelle, die damit trainiert werden.",
  none: "Noch kein Mitglied eines Projekts",
  noneText: (username) =>
    `Ein Projekt erscheint hier, sobald die Projektleitung dieses Konto aufnimmt. Der Benutzername ist ${username}.`,

  wanted: (overlap) => `${rankings(overlap)} je Aufgabe.`,
  doneAndWanted: (n, of, overlap) =>
    `${count(n)} von ${tasks(of)} erledigt, ${rankings(overlap)} je Aufgabe.`,
  noTasks: "Noch keine Aufgaben.",
  pausedTitle: "Die Teilnahme an diesem Projekt ist pausiert",
  pausedText: "Aufgaben gibt es wieder, sobald die Projektleitung die Pause aufhebt.",
  tasksDone: "Erledigte Aufgaben",
  next: "Nächster Schritt",
  steps: {
    import: {
      title: "Daten zum Ordnen importieren",
      text: "Eine Datei mit Anfragen und Antworten auf der Datenseite ablegen. Das Format wird automatisch erkannt, und jede ungültige Zeile wird mit dem Grund aufgeführt.",
      action: "Daten importieren",
    },
    train: {
      title: "Den Kreis schließen",
      text: (n, comparisons) =>
        `Aus ${rankings(n)} ${n === 1 ? "wird" : "werden"} ${plural(comparisons, "Vergleich", "Vergleiche")}. Ein Belohnungsmodell lernt daraus, Antworten zu bewerten. Mit diesen Bewertungen wird dann das Sprachmodell verbessert.`,
      action: "Belohnungsmodell trainieren",
    },
    improve: {
      title: "Das Sprachmodell verbessern",
      text: (rewardModel) =>
        `Das Belohnungsmodell ${rewardModel} hat aus den Rangfolgen gelernt. Mit diesem Modell lässt sich das Sprachmodell verbessern.`,
      action: "PPO starten",
    },
    ask: {
      title: "Das verbesserte Sprachmodell antworten lassen",
      text: (policy) => `Aus den Antworten von ${policy} entstehen neue Aufgaben.`,
      action: "Antworten erzeugen",
    },
    watch: {
      title: "Ein Lauf ist aktiv",
      text: "Die Seite des Laufs zeigt den Fortschritt. Nach dem Ende des Laufs erscheint hier der nächste Schritt.",
      action: "Ansehen",
    },
    round: {
      title: (round) => `Runde ${round} der Trainingsschleife läuft`,
      text: "Die Seite der Schleife zeigt die Schritte.",
      action: "Schleife öffnen",
    },
    collect: {
      title: "Die Trainingsschleife ist eingeschaltet",
      text: (collected, needed) =>
        `Die nächste Runde startet nach ${plural(needed, "neuen Vergleich", "neuen Vergleichen")}. Bisher gibt es ${count(collected)}.`,
      action: "Schleife öffnen",
    },
    rank: {
      title: "Die erste Aufgabe ordnen",
      goOn: "Weiter ordnen",
      text: (open) =>
        `${open === null ? "Aufgaben warten" : `${tasks(open)} ${open === 1 ? "wartet" : "warten"}`}. Zu ordnen sind die Antworten auf jede Anfrage, die beste zuerst. Die Taste ? zeigt alle Tastenkürzel.`,
      action: "Anfangen",
    },
    invite: {
      title: "Leute zum Ordnen einladen",
      text: (open, overlap) =>
        `${tasks(open)} ${open === 1 ? "ist offen. Sie braucht" : "sind offen. Jede Aufgabe braucht"} ${rankings(overlap)}.`,
      action: "Mitglieder aufnehmen",
    },
    sample: {
      title: "Neue Antworten erzeugen",
      text: "Alle Aufgaben sind erledigt. Aus neuen Antworten eines Sprachmodells entstehen neue Aufgaben.",
      action: "Antworten erzeugen",
    },
  },
  perDay: "Rangfolgen je Tag",
  onDay: (day, n) => `${day}: ${rankings(n)}`,
  atMost: (n) => `stärkster Tag: ${count(n)}`,
  counts: {
    prompts: "Anfragen",
    responses: "Antworten",
    open: "offene Aufgaben",
    rankings: "Rangfolgen",
    comparisons: "Vergleiche",
    mine: "selbst geordnet",
    byAll: "Rangfolgen insgesamt",
  },
  guidelines: "Richtlinien",
  guidelinesField: "Richtlinien, in Markdown",
  noGuidelines: "Noch keine Richtlinien.",
  writeSome:
    "Zwei Absätze darüber, was eine Antwort besser macht, beugen vielen Meinungsverschiedenheiten vor.",
  edit: "Ändern",
  save: "Speichern",
  cancel: "Abbrechen",
};
