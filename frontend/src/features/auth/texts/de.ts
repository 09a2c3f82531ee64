import type { Texts } from "@/shared/i18n";
import type { en } from "./en";

export const de: Texts<typeof en> = {
  title: "Anmelden",
  lead: "Ordnen, was Sprachmodelle sagen. Sie daran lernen lassen. Wieder fragen.",
  ended: "Die Sitzung ist abgelaufen",
  endedWhy: "Nach der Anmeldung geht es dort weiter. Was geordnet war, ist in diesem Browser aufgehoben.",
  wrong: "Zu diesem Namen und Passwort gibt es kein Konto",
  wrongWhat: "Beides prüfen, oder bei den Betreibern dieser Seite ein neues Passwort erbitten.",
  username: "Benutzername",
  password: "Passwort",
  logIn: "Anmelden",
  logInWith: (provider) => `Anmelden mit ${provider}`,
  code: "Code",
  codeHelp: "Aus der Authenticator-App, oder einer der Wiederherstellungscodes.",
  startAgain: "Von vorn beginnen",
  language: "Sprache",
  refusals: {
    unknown: {
      title: "Zu dieser Anmeldung gehört hier kein Konto",
      text: "Die Betreiber dieser Seite um ein Konto bitten, oder die Anmeldung auf der Kontoseite verbinden.",
    },
    inactive: { title: "Das Konto ist abgeschaltet", text: "Die Betreiber dieser Seite fragen." },
    cancelled: {
      title: "Die Anmeldung wurde abgebrochen",
      text: "Noch einmal versuchen, oder das Passwort verwenden.",
    },
    taken: {
      title: "Diese Anmeldung ist mit einem anderen Konto verbunden",
      text: "Mit jenem anmelden, oder die Betreiber dieser Seite fragen.",
    },
    failed: {
      title: "Die Anmeldung ist nicht gelungen",
      text: "Noch einmal versuchen. Geschieht es wieder, die Betreiber verständigen; der Grund steht im Protokoll des Servers.",
    },
  },
};
