import type { Texts } from "@/shared/i18n";
import type { en } from "./en";

export const de: Texts<typeof en> = {
  title: "Sie sind eingeladen",
  loading: "Die Einladung wird geladen",
  missing: "Dieser Link enthält keine Einladung",
  missingText: "Öffnen Sie den vollständigen Link, den Sie erhalten haben, einschließlich des Teils nach #.",
  over: "Diese Einladung ist nicht mehr gültig",
  by: (name) => `${name} lädt Sie ein`,
  to: "in das Projekt",
  roles: {
    annotator: "um Antworten zu ordnen",
    reviewer: "um Antworten zu ordnen und strittige Aufgaben zu prüfen",
    manager: "um es zu leiten",
  },
  ends: (when) => `Die Einladung gilt bis ${when}.`,
  username: "Wählen Sie einen Benutzernamen",
  usernameHelp: "Buchstaben, Ziffern und @ . + - _. Die Projektleitung kann den Benutzernamen sehen.",
  password: "Wählen Sie ein Passwort",
  passwordHelp: "Mindestens 10 Zeichen.",
  enter: "Konto anlegen",
  haveOne: "Sie haben schon ein Konto?",
  logIn: "Melden Sie sich an und öffnen Sie dann den Link noch einmal.",
  as: (name) => `Sie sind als ${name} angemeldet.`,
  join: (name) => `Als ${name} beitreten`,
  other: "Das sind nicht Sie? Melden Sie sich ab und öffnen Sie den Link noch einmal.",
  goAnyway: "Zum Projekt",
  home: "Zur Anmeldung",
};
