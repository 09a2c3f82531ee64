import { currentLanguage, type Language } from "@/shared/i18n/language";

/**
 * The page's own words for a failed request. Not a text catalogue: a problem is created outside of components, and
 * one caused by a lost connection can't load a catalogue.
 */
const en = {
  unreachable: "The server can't be reached",
  unreachableThen: "Check the connection; nothing you did is lost, and it can be tried again.",
  failed: "The server failed",
  refused: "The request was refused",
  ours: "The page made a mistake",
  byStatus: {
    401: "You are not logged in",
    403: "You may not do this",
    404: "This does not exist, or you may not see it",
    409: "Something else changed this first",
    413: "The file is too large",
    422: "This can't be accepted as it is",
    429: "Too many requests; wait a moment",
  } as Record<number, string>,
  /** By problem type, in place of the server's detail. English has none: the server's own detail is better. */
  byType: {} as Record<string, string>,
};

const de: typeof en = {
  unreachable: "Der Server ist nicht erreichbar",
  unreachableThen: "Die Verbindung prüfen; nichts ist verloren, und es lässt sich noch einmal versuchen.",
  failed: "Auf dem Server ist etwas schiefgegangen",
  refused: "Die Anfrage wurde abgelehnt",
  ours: "Die Seite hat einen Fehler gemacht",
  byStatus: {
    401: "Nicht angemeldet",
    403: "Das ist hier nicht erlaubt",
    404: "Das gibt es nicht, oder es ist von hier nicht zu sehen",
    409: "Etwas anderes hat dies zuerst geändert",
    413: "Die Datei ist zu groß",
    422: "So kann das nicht angenommen werden",
    429: "Zu viele Anfragen; einen Moment warten",
  },
  // The problems that annotators meet. A pause keeps the server's detail, because it contains the manager's reason.
  byType: {
    "lease-lost": "Die Zuteilung ist abgelaufen, oder die Aufgabe wurde zurückgegeben.",
    "already-answered": "Diese Aufgabe ist von hier schon beantwortet.",
    "stale-draft": "Ein neuerer Entwurf wurde in einem anderen Tab oder Gerät gespeichert.",
    stale: "Jemand war schneller: neu laden und noch einmal ansehen.",
    "not-answered": "Zu dieser Aufgabe gibt es noch keine Antwort, die sich ändern ließe.",
    "qualification-answered": "Antworten auf Übungsaufgaben bleiben: was richtig war, wurde schon gesagt.",
    "idempotency-key-reused": "Diese Antwort wurde schon einmal anders gesendet. Die Seite neu laden.",
    "project-not-active": "Sobald das Projekt wieder aktiv ist, geht es weiter.",
    "project-archived": "Das Projekt ist archiviert: es nimmt keine Antworten mehr an.",
    "annotator-excluded": "Wer das Projekt leitet, kann sagen, warum.",
    "qualification-failed":
      "In keinem der Versuche wurde erreicht, was das Projekt verlangt. Wer es leitet, kann einen weiteren gewähren.",
    "cap-reached": "Mehr Aufgaben sind in diesem Projekt für eine Person nicht vorgesehen. Danke.",
    "daily-cap-reached":
      "Mehr Aufgaben sind für eine Person an einem Tag nicht vorgesehen. Der nächste Tag beginnt um Mitternacht UTC.",
    throttled: "Es geht gleich weiter: einen Moment warten und noch einmal versuchen.",
    not_authenticated: "Nach der Anmeldung geht es hier weiter.",
  },
};

const TEXTS: Record<Language, typeof en> = { en, de };

export const problemTexts = () => TEXTS[currentLanguage()];
