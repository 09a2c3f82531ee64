import type { Texts } from "@/shared/i18n";
import type { en } from "./flow.en";

const tasks = (n: number) => (n === 1 ? "1 Aufgabe" : `${n} Aufgaben`);
const answers = (n: number) => (n === 1 ? "1 Antwort wurde" : `${n} Antworten wurden`);

export const de: Texts<typeof en> = {
  sendNow: "Jetzt senden",
  waitingTitle: (n) =>
    n === 1 ? "Eine Antwort ist noch nicht gesendet" : `${n} Antworten sind noch nicht gesendet`,
  waiting: (why) =>
    `${why}. Ihre Arbeit liegt in diesem Browser und wird gesendet, genau einmal, sobald der Server antwortet.`,
  sessionEnded: "Ihre Anmeldung ist abgelaufen. Melden Sie sich wieder an, dann wird gesendet.",
  notKept: "Dieser Browser bewahrt nichts auf: Lassen Sie die Seite offen, bis gesendet ist.",
  notTaken: (excerpt) => `Eine Antwort wurde nicht angenommen: „${excerpt}“`,
  notTakenAll: (n) => `${answers(n)} nicht angenommen`,
  tooLate:
    "Die Aufgabe war Ihnen nicht mehr zugeteilt, als die Antwort ankam; vielleicht hat sie jetzt jemand anderes. Die Antwort wurde nicht gezählt. Kommt die Aufgabe wieder zu Ihnen, wird sie von selbst gesendet.",
  answeredElsewhere:
    "Die Aufgabe wurde schon in einem anderen Tab oder Gerät beantwortet. Jene Antwort gilt.",
  backToIt: "Zu dieser Antwort",
  changeThatOne: "Jene Antwort ändern",
  letGo: "Verwerfen",
  nothingKept: "Was gezeigt wurde, liegt nicht mehr in diesem Browser.",

  sending: "Wird gesendet …",
  saved: (n) => `Gespeichert · ${n} in dieser Sitzung`,
  skipped: "Übersprungen",
  elsewhere: "Diese Aufgabe haben Sie in einem anderen Tab beantwortet",
  revised: "Ihre Änderung ist gespeichert",
  draftSaving: "Wird gespeichert …",
  draftWaiting: "In diesem Browser aufbewahrt; der Server ist nicht erreichbar",
  draftRefused: "In diesem Browser aufbewahrt",
  draftSaved: "Entwurf gespeichert",
  changeKept: "In diesem Browser aufbewahrt, bis Sie absenden",

  lostTitle: "Diese Aufgabe ist Ihnen nicht mehr zugeteilt",
  lostKept: "Was Sie geordnet haben, liegt als Entwurf in diesem Browser. Es zählt nicht als Antwort.",
  getTask: "Aufgabe holen",
  refusedTitle: "Diese Antwort wurde nicht angenommen",
  refusedThen: "Ändern Sie, was genannt ist, und senden Sie noch einmal ab.",
  behindTitle: "Nicht auf dem Server gespeichert",
  behindKept: "Ihre Arbeit liegt in diesem Browser, und Sie können sie weiterhin absenden.",
  loadServers: "Fassung des Servers laden",
  offlineTitle: "Der Server ist nicht erreichbar",
  heldUntil: (time) =>
    `Diese Aufgabe bleibt Ihnen bis ${time}. Was Sie tun, liegt in diesem Browser; machen Sie weiter.`,
  heldNoMore: (time) =>
    `Diese Aufgabe war Ihnen bis ${time} zugeteilt. Machen Sie weiter: Ihre Antwort wird gesendet, sobald die Verbindung wieder da ist, und zählt, wenn niemand anderes die Aufgabe bekommen hat.`,

  takeBack: "Zurücknehmen",
  takeBackLabel: "Meine letzte Antwort zurücknehmen",
  takingBackTitle: "Sie ändern Ihre letzte Antwort",
  takingBack: "Senden Sie ab, um sie zu ersetzen. Bis dahin gilt die alte.",
  takingBackElse: "Diese Antwort wurde schon gegeben",
  leaveIt: "So lassen, wie sie war",
  nothingToTakeBack: "Hier gibt es keine Antwort von Ihnen, die Sie zurücknehmen könnten.",

  pause: "Pause",
  pauseLabel: "Pause",
  paused: "Pause",
  pausedText: (time) =>
    `Ihre Zeit läuft nicht. Die Aufgabe bleibt Ihnen bis ${time}, solange diese Seite offen ist; danach kann sie jemand anderes bekommen, und was Sie geordnet haben, bleibt hier als Entwurf.`,
  pausedRevising: "Ihre Zeit läuft nicht. Die Antwort, die Sie ändern, gilt, bis Sie sie neu absenden.",
  goOn: "Weiter ordnen",

  report: "Melden",
  reportLabel: "Ein Problem mit dieser Aufgabe melden",
  reportTitle: "Ein Problem mit dieser Aufgabe melden",
  reportNote:
    "Das lesen die Leiter des Projekts. Die Aufgabe bleibt Ihnen: Ordnen oder überspringen Sie sie wie sonst.",
  reportKind: "Was stimmt nicht?",
  reportKinds: {
    unreadable: "Sie ist nicht lesbar",
    wrong_language: "Sie ist in der falschen Sprache",
    unsafe: "Sie ist schädlich oder verstörend",
    duplicate: "Ich hatte sie schon einmal",
    other: "Etwas anderes",
  },
  reportText: "In Ihren Worten",
  reportTextOther: "Sagen Sie, was nicht stimmt, damit es jemand in Ordnung bringen kann.",
  reportSend: "Meldung senden",
  reported: "Den Leitern gemeldet",
  cancel: "Abbrechen",

  paceLabel: "Ihre Arbeit in diesem Projekt",
  today: (n) => `${n} heute`,
  inAll: (n) => `${n} insgesamt`,
  perTask: (time) => `${time} je Aufgabe`,
  leftToday: (n) => `heute noch ${n}`,

  practice: "Übung",
  practiceLeft: (left, all) => `noch ${left} von ${tasks(all)}`,
  practiceAttempt: (attempt, attempts) => `Versuch ${attempt} von ${attempts}`,
  practiceNote: "Nach jeder Antwort sehen Sie, was richtig war. Wer besteht, ordnet für das Projekt.",
  feedbackTitle: "Was richtig war",
  feedbackWaiting: "Ihre Antwort ist unterwegs. Sobald sie da ist, sehen Sie, was richtig war.",
  feedbackNone: "Zu dieser Antwort gibt es nichts zu sagen.",
  feedbackScore: (percent) => `${percent} richtig`,
  feedbackAllRight: "Alle Paare sind richtig.",
  feedbackPlace: "Antwort",
  feedbackYours: "Ihr Platz",
  feedbackRight: "Richtig",
  feedbackPairs: "Paar für Paar",
  feedbackPair: (better, worse) => `${better} ist besser als ${worse}`,
  feedbackSaid: { right: "richtig", tied: "bei Ihnen gleichauf: halb richtig", wrong: "falsch" },
  unranked: "nicht geordnet",
  passedTitle: "Bestanden",
  passed: (score, mark) =>
    `${score} richtig über alle Übungsaufgaben; das Projekt verlangt ${mark}. Ab jetzt zählen Ihre Antworten.`,
  failedTitle: "Noch nicht",
  failed: (score, mark) =>
    `${score} richtig über alle Übungsaufgaben dieses Versuchs; das Projekt verlangt ${mark}.`,
  next: "Nächste Aufgabe",

  fetching: "Eine Aufgabe wird geholt",
  nextWaits:
    "Die nächste Aufgabe kommt, sobald der Server erreichbar ist. Was Sie beantwortet haben, ist aufbewahrt.",
  tryAgain: "Noch einmal",
};
