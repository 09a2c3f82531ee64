import type { Texts } from "@/shared/i18n";
import type { en } from "./flow.en";

const tasks = (n: number) => (n === 1 ? "1 Aufgabe" : `${n} Aufgaben`);

export const de: Texts<typeof en> = {
  sendNow: "Jetzt senden",
  waitingTitle: (n) =>
    n === 1 ? "Eine Antwort ist noch nicht gesendet" : `${n} Antworten sind noch nicht gesendet`,
  waiting: (why) =>
    `${why}. Die Arbeit ist in diesem Browser gespeichert und wird gesendet, sobald der Server erreichbar ist.`,
  sessionEnded: "Die Sitzung ist abgelaufen. Nach der nächsten Anmeldung wird die Arbeit gesendet.",
  notKept: "Dieser Browser kann nichts speichern. Die Seite offen lassen, bis die Antwort gesendet ist.",
  notTaken: (excerpt) => `Eine Antwort wurde nicht angenommen: „${excerpt}“`,
  tooLate:
    "Die Aufgabe war nicht mehr zugeteilt, als die Antwort ankam; vielleicht hat sie jetzt jemand anderes. Die Antwort zählt nicht. Wird die Aufgabe wieder zugeteilt, wird die Antwort automatisch gesendet.",
  answeredElsewhere:
    "Die Aufgabe wurde bereits in einem anderen Tab oder auf einem anderen Gerät beantwortet. Die dort abgesendete Antwort gilt.",
  backToIt: "Zu dieser Antwort",
  changeThatOne: "Diese Antwort ändern",
  letGo: "Verwerfen",
  nothingKept: "Die Aufgabe ist nicht mehr in diesem Browser gespeichert.",

  sending: "Wird gesendet …",
  saved: (n) => `Gespeichert · ${n} in dieser Sitzung`,
  skipped: "Übersprungen",
  elsewhere: "Diese Aufgabe wurde in einem anderen Tab beantwortet",
  revised: "Die Änderung ist gespeichert",
  draftSaving: "Wird gespeichert …",
  draftWaiting: "In diesem Browser gespeichert; der Server ist nicht erreichbar",
  draftRefused: "In diesem Browser gespeichert",
  draftSaved: "Entwurf gespeichert",
  changeKept: "Bis zum Absenden in diesem Browser gespeichert",

  lostTitle: "Diese Aufgabe ist nicht mehr zugeteilt",
  lostKept: "Die Rangfolge ist als Entwurf in diesem Browser gespeichert. Sie zählt nicht als Antwort.",
  getTask: "Aufgabe holen",
  refusedTitle: "Diese Antwort wurde nicht angenommen",
  refusedThen: "Die Antwort korrigieren und noch einmal absenden.",
  behindTitle: "Nicht auf dem Server gespeichert",
  behindKept: "Die Arbeit ist in diesem Browser gespeichert und kann weiterhin abgesendet werden.",
  loadServers: "Fassung des Servers laden",
  offlineTitle: "Der Server ist nicht erreichbar",
  heldUntil: (time) =>
    `Diese Aufgabe ist bis ${time} reserviert. Die Arbeit wird in diesem Browser gespeichert und kann fortgesetzt werden.`,
  heldNoMore: (time) =>
    `Die Reservierung endete um ${time}. Die Arbeit kann fortgesetzt werden: Die Antwort wird gesendet, sobald die Verbindung wieder besteht, und zählt, wenn niemand anderes die Aufgabe bekommen hat.`,

  takeBack: "Zurücknehmen",
  takeBackLabel: "Die letzte Antwort zurücknehmen",
  takingBackTitle: "Die letzte Antwort wird geändert",
  takingBack: "Die neue Antwort ersetzt die alte beim Absenden. Bis dahin gilt die alte.",
  takingBackElse: "Diese Antwort wurde bereits abgesendet",
  leaveIt: "Frühere Antwort behalten",
  nothingToTakeBack: "Hier gibt es keine Antwort, die zurückgenommen werden kann.",

  pause: "Pause",
  pauseLabel: "Pause",
  paused: "Pause",
  pausedText: (time) =>
    `Die Uhr ist angehalten. Die Aufgabe ist bis ${time} reserviert, solange diese Seite offen ist. Danach kann sie jemand anderes bekommen, und die Rangfolge bleibt hier als Entwurf gespeichert.`,
  pausedRevising: "Die Uhr ist angehalten. Die frühere Antwort gilt, bis die neue abgesendet ist.",
  goOn: "Weiter ordnen",

  report: "Melden",
  reportLabel: "Ein Problem mit dieser Aufgabe melden",
  reportTitle: "Ein Problem mit dieser Aufgabe melden",
  reportNote:
    "Die Projektleitung liest diese Meldung. Die Aufgabe kann trotzdem geordnet oder übersprungen werden.",
  reportKind: "Was stimmt nicht?",
  reportKinds: {
    unreadable: "Der Text ist nicht lesbar",
    wrong_language: "Der Text ist in der falschen Sprache",
    unsafe: "Der Inhalt ist schädlich oder verstörend",
    duplicate: "Ich habe diese Aufgabe schon einmal gesehen",
    other: "Etwas anderes",
  },
  reportText: "Einzelheiten (freiwillig)",
  reportTextOther: "Bitte beschreiben, was nicht stimmt, damit es behoben werden kann.",
  reportSend: "Meldung senden",
  reported: "Der Projektleitung gemeldet",
  cancel: "Abbrechen",

  paceLabel: "Die eigene Arbeit in diesem Projekt",
  today: (n) => `${n} heute`,
  inAll: (n) => `${n} insgesamt`,
  perTask: (time) => `${time} je Aufgabe`,
  leftToday: (n) => `heute noch ${n}`,

  practice: "Übung",
  practiceLeft: (left, all) => `noch ${left} von ${tasks(all)}`,
  practiceAttempt: (attempt, attempts) => `Versuch ${attempt} von ${attempts}`,
  practiceNote:
    "Nach jedem Urteil wird die richtige Antwort gezeigt. Nach dem Bestehen zählen die Rangfolgen.",
  feedbackTitle: "Richtige Antwort",
  feedbackWaiting: "Die Antwort wird gesendet. Danach erscheint hier die richtige Antwort.",
  feedbackScore: (percent) => `${percent} richtig`,
  feedbackAllRight: "Alle Paare sind richtig.",
  feedbackPlace: "Antwort",
  feedbackYours: "Eigene",
  feedbackRight: "Richtig",
  feedbackPairs: "Paar für Paar",
  feedbackPair: (better, worse) => `${better} ist besser als ${worse}`,
  feedbackSaid: { right: "richtig", tied: "gleichgestellt: halb richtig", wrong: "falsch" },
  unranked: "nicht geordnet",
  passedTitle: "Bestanden",
  passed: (score, mark) =>
    `${score} richtig bei den Übungsaufgaben dieses Versuchs; das Projekt verlangt ${mark}. Ab jetzt zählen die Antworten.`,
  failedTitle: "Noch nicht bestanden",
  failed: (score, mark) =>
    `${score} richtig bei den Übungsaufgaben dieses Versuchs; das Projekt verlangt ${mark}.`,
  attemptsLeft: (n) =>
    n === 0
      ? "Das war der letzte Versuch. Die Projektleitung kann einen weiteren gewähren."
      : `${n === 1 ? "Es gibt noch einen Versuch. Er" : `Es gibt noch ${n} Versuche. Der nächste`} beginnt mit der nächsten Aufgabe.`,
  next: "Nächste Aufgabe",

  fetching: "Eine Aufgabe wird geladen",
  nextWaits: "Die nächste Aufgabe erscheint, sobald der Server erreichbar ist.",
  tryAgain: "Noch einmal versuchen",

  rewriteOriginal: "Original",
  rewriteYours: "Eigener Text",
  rewriteStart: (letter) => `Von ${letter} ausgehen`,
  rewriteDone: "Fertig",
};
