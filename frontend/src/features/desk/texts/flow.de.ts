import type { Texts } from "@/shared/i18n";
import type { en } from "./flow.en";

const tasks = (n: number) => (n === 1 ? "1 Aufgabe" : `${n} Aufgaben`);

export const de: Texts<typeof en> = {
  sendNow: "Jetzt senden",
  waitingTitle: (n) => (n === 1 ? "Eine Antwort ist noch zu senden" : `${n} Antworten sind noch zu senden`),
  waiting: (why) =>
    `${why}. Die Arbeit liegt in diesem Browser und wird gesendet, genau einmal, sobald der Server antwortet.`,
  sessionEnded: "Die Sitzung ist abgelaufen. Nach der nächsten Anmeldung wird gesendet.",
  notKept: "Dieser Browser bewahrt nichts auf: die Seite offen lassen, bis gesendet ist.",
  notTaken: (excerpt) => `Eine Antwort wurde nicht angenommen: „${excerpt}“`,
  tooLate:
    "Die Aufgabe lag nicht mehr hier, als die Antwort ankam; vielleicht hat sie jetzt jemand anderes. Die Antwort zählt nicht. Kommt die Aufgabe wieder hierher, wird sie von selbst gesendet.",
  answeredElsewhere:
    "Die Aufgabe wurde schon in einem anderen Tab oder Gerät beantwortet. Jene Antwort gilt.",
  backToIt: "Zu dieser Antwort",
  changeThatOne: "Jene Antwort ändern",
  letGo: "Verwerfen",
  nothingKept: "Was gezeigt wurde, liegt nicht mehr in diesem Browser.",

  sending: "Wird gesendet …",
  saved: (n) => `Gespeichert · ${n} in dieser Sitzung`,
  skipped: "Übersprungen",
  elsewhere: "Jene Aufgabe wurde in einem anderen Tab beantwortet",
  revised: "Die Änderung ist gespeichert",
  draftSaving: "Wird gespeichert …",
  draftWaiting: "In diesem Browser aufgehoben; der Server ist nicht erreichbar",
  draftRefused: "In diesem Browser aufgehoben",
  draftSaved: "Entwurf gespeichert",
  changeKept: "Bis zum Absenden in diesem Browser aufgehoben",

  lostTitle: "Diese Aufgabe liegt nicht mehr hier",
  lostKept: "Die Rangfolge ist als Entwurf in diesem Browser aufgehoben. Als Antwort zählt sie nicht.",
  getTask: "Aufgabe holen",
  refusedTitle: "Diese Antwort wurde nicht angenommen",
  refusedThen: "Das Genannte ändern und noch einmal absenden.",
  behindTitle: "Nicht auf dem Server gespeichert",
  behindKept: "Die Arbeit liegt in diesem Browser und kann weiterhin abgesendet werden.",
  loadServers: "Fassung des Servers laden",
  offlineTitle: "Der Server ist nicht erreichbar",
  heldUntil: (time) =>
    `Diese Aufgabe bleibt bis ${time} hier. Was geschieht, ist in diesem Browser aufgehoben; es geht weiter.`,
  heldNoMore: (time) =>
    `Diese Aufgabe war bis ${time} zugeteilt. Es geht weiter: die Antwort wird gesendet, sobald die Verbindung wieder da ist, und zählt, wenn niemand anderes die Aufgabe bekommen hat.`,

  takeBack: "Zurücknehmen",
  takeBackLabel: "Die letzte Antwort zurücknehmen",
  takingBackTitle: "Die letzte Antwort wird geändert",
  takingBack: "Absenden setzt die neue an ihre Stelle. Bis dahin gilt die alte.",
  takingBackElse: "Diese Antwort wurde schon gegeben",
  leaveIt: "So lassen, wie sie war",
  nothingToTakeBack: "Hier gibt es keine Antwort, die sich zurücknehmen ließe.",

  pause: "Pause",
  pauseLabel: "Pause",
  paused: "Pause",
  pausedText: (time) =>
    `Die Zeit läuft nicht. Die Aufgabe bleibt bis ${time} zugeteilt, solange diese Seite offen ist; danach kann sie jemand anderes bekommen, und die Rangfolge bleibt hier als Entwurf.`,
  pausedRevising: "Die Zeit läuft nicht. Die Antwort, die gerade geändert wird, gilt bis zum neuen Absenden.",
  goOn: "Weiter ordnen",

  report: "Melden",
  reportLabel: "Ein Problem mit dieser Aufgabe melden",
  reportTitle: "Ein Problem mit dieser Aufgabe melden",
  reportNote:
    "Das lesen die Leiter des Projekts. Die Aufgabe bleibt hier: sie kann geordnet oder übersprungen werden wie sonst.",
  reportKind: "Was stimmt nicht?",
  reportKinds: {
    unreadable: "Sie ist nicht lesbar",
    wrong_language: "Sie ist in der falschen Sprache",
    unsafe: "Sie ist schädlich oder verstörend",
    duplicate: "Sie war schon einmal da",
    other: "Etwas anderes",
  },
  reportText: "In eigenen Worten",
  reportTextOther: "Sagen, was nicht stimmt, damit es jemand in Ordnung bringen kann.",
  reportSend: "Meldung senden",
  reported: "Den Leitern gemeldet",
  cancel: "Abbrechen",

  paceLabel: "Die eigene Arbeit in diesem Projekt",
  today: (n) => `${n} heute`,
  inAll: (n) => `${n} insgesamt`,
  perTask: (time) => `${time} je Aufgabe`,
  leftToday: (n) => `heute noch ${n}`,

  practice: "Übung",
  practiceLeft: (left, all) => `noch ${left} von ${tasks(all)}`,
  practiceAttempt: (attempt, attempts) => `Versuch ${attempt} von ${attempts}`,
  practiceNote: "Nach jeder Antwort steht da, was richtig war. Wer besteht, ordnet für das Projekt.",
  feedbackTitle: "Was richtig war",
  feedbackWaiting: "Die Antwort ist unterwegs. Sobald sie da ist, steht hier, was richtig war.",
  feedbackScore: (percent) => `${percent} richtig`,
  feedbackAllRight: "Alle Paare sind richtig.",
  feedbackPlace: "Antwort",
  feedbackYours: "Gesagt",
  feedbackRight: "Richtig",
  feedbackPairs: "Paar für Paar",
  feedbackPair: (better, worse) => `${better} ist besser als ${worse}`,
  feedbackSaid: { right: "richtig", tied: "als gleichauf gesagt: halb richtig", wrong: "falsch" },
  unranked: "nicht geordnet",
  passedTitle: "Bestanden",
  passed: (score, mark) =>
    `${score} richtig über alle Übungsaufgaben; das Projekt verlangt ${mark}. Ab jetzt zählen die Antworten.`,
  failedTitle: "Noch nicht",
  failed: (score, mark) =>
    `${score} richtig über alle Übungsaufgaben dieses Versuchs; das Projekt verlangt ${mark}.`,
  attemptsLeft: (n) =>
    n === 0
      ? "Das war der letzte Versuch. Wer das Projekt leitet, kann einen weiteren gewähren."
      : `${n === 1 ? "Ein Versuch folgt noch, der letzte" : `${n} Versuche folgen noch`}. Er beginnt mit der nächsten Aufgabe.`,
  next: "Nächste Aufgabe",

  fetching: "Eine Aufgabe wird geholt",
  nextWaits: "Die nächste Aufgabe kommt, sobald der Server erreichbar ist.",
  tryAgain: "Noch einmal versuchen",

  rewriteOriginal: "Original",
  rewriteYours: "Eigener Text",
  rewriteStart: (letter) => `Von ${letter} ausgehen`,
  rewriteDone: "Fertig",
};
