import type { Texts } from "@/shared/i18n";
import type { en } from "./en";

export const de: Texts<typeof en> = {
  title: "Sie sind eingeladen",
  loading: "Die Einladung wird gelesen",
  missing: "In dieser Adresse steht keine Einladung",
  missingText: "Öffnen Sie den ganzen Link, den Sie bekommen haben; der Teil nach # gehört dazu.",
  over: "Diese Einladung gilt nicht",
  by: (name) => `${name} lädt Sie ein`,
  to: "in das Projekt",
  roles: {
    annotator: "um zu ordnen, was Sprachmodelle sagen",
    reviewer: "um zu ordnen und zu entscheiden, wo andere uneins sind",
    manager: "um es zu leiten",
  },
  ends: (when) => `Die Einladung gilt bis ${when}.`,
  username: "Wählen Sie einen Benutzernamen",
  usernameHelp: "Buchstaben, Ziffern und @ . + - _. Wer das Projekt leitet, sieht ihn.",
  password: "Wählen Sie ein Passwort",
  passwordHelp: "Mindestens 10 Zeichen.",
  enter: "Konto anlegen und anfangen",
  haveOne: "Sie haben schon ein Konto?",
  logIn: "Melden Sie sich an und öffnen Sie den Link noch einmal.",
  as: (name) => `Sie sind als ${name} angemeldet.`,
  join: (name) => `Als ${name} beitreten`,
  other: "Das sind nicht Sie? Melden Sie sich ab und öffnen Sie den Link noch einmal.",
  goAnyway: "Zum Projekt",
  home: "Zur Anmeldung",
};
