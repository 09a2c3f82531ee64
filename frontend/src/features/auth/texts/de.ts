import type { Texts } from "@/shared/i18n";
import type { en } from "./en";

export const de: Texts<typeof en> = {
  title: "Anmelden",
  lead: "Antworten von Sprachmodellen ordnen. Damit trainieren. Wiederholen.",
  ended: "Die Sitzung ist abgelaufen",
  endedWhy:
    "Nach der Anmeldung geht es an derselben Stelle weiter. Die Antworten sind in diesem Browser gespeichert.",
  wrong: "Benutzername oder Passwort falsch",
  wrongWhat:
    "Benutzernamen und Passwort prüfen oder die Administration um einen Link für ein neues Passwort bitten.",
  username: "Benutzername",
  password: "Passwort",
  logIn: "Anmelden",
  logInWith: (provider) => `Anmelden mit ${provider}`,
  code: "Code",
  codeHelp: "Code aus der Authenticator-App oder Wiederherstellungscode.",
  startAgain: "Von vorn beginnen",
  language: "Sprache",
  reset: {
    title: "Neues Passwort festlegen",
    password: "Neues Passwort",
    passwordHelp:
      "Mindestens 10 Zeichen. Alle anderen Sitzungen werden beendet und alle API-Tokens widerrufen.",
    set: "Passwort festlegen und anmelden",
    missing: "Der Link ist unvollständig",
    missingText: "Den vollständigen Link öffnen, einschließlich des Teils nach #.",
  },
  refusals: {
    unknown: {
      title: "Mit dieser Anmeldung ist kein Konto verknüpft",
      text: "Die Administration um ein Konto bitten oder die Anmeldung auf der Kontoseite verknüpfen.",
    },
    inactive: { title: "Das Konto ist deaktiviert", text: "Bitte an die Administration wenden." },
    cancelled: {
      title: "Die Anmeldung wurde abgebrochen",
      text: "Noch einmal versuchen oder das Passwort verwenden.",
    },
    taken: {
      title: "Diese Anmeldung ist mit einem anderen Konto verknüpft",
      text: "Mit diesem Konto anmelden oder die Administration fragen.",
    },
    failed: {
      title: "Die Anmeldung ist fehlgeschlagen",
      text: "Noch einmal versuchen. Schlägt die Anmeldung wieder fehl, bitte an die Administration wenden; der Grund steht im Serverprotokoll.",
    },
  },
};
