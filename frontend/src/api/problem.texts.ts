import { currentLanguage, type Language } from "@/shared/i18n/language";

/**
 * The page's own messages about failed requests. This catalogue is not loaded lazily, because errors are
 * created outside components, and because the message about a lost connection could not be fetched without
 * a connection.
 */
const en = {
  unreachable: "The server can’t be reached",
  unreachableThen: "Check your connection and try again. Nothing is lost.",
  failed: "Server error",
  refused: "The request was refused",
  ours: "An error occurred on this page",
  requestId: (id: string) => `Request ID: ${id}`,
  byStatus: {
    401: "You are not logged in",
    403: "You do not have permission to do this",
    404: "Not found, or you do not have access",
    409: "This is not possible at the moment",
    413: "The file is too large",
    422: "Some of the input is invalid",
    429: "Too many requests; wait a moment",
  } as Record<number, string>,
  /**
   * Texts by problem type that replace the server's text. In English, no text is replaced, because the server's
   * texts are more specific.
   */
  byType: {} as Record<string, string>,
};

const de: typeof en = {
  unreachable: "Der Server ist nicht erreichbar",
  unreachableThen: "Bitte die Verbindung prüfen und noch einmal versuchen. Nichts ist verloren.",
  failed: "Serverfehler",
  refused: "Die Anfrage wurde abgelehnt",
  ours: "Auf dieser Seite ist ein Fehler aufgetreten",
  requestId: (id: string) => `Anfrage-ID: ${id}`,
  byStatus: {
    401: "Nicht angemeldet",
    403: "Dafür fehlt die Berechtigung",
    404: "Nicht gefunden oder kein Zugriff",
    409: "Das ist zurzeit nicht möglich",
    413: "Die Datei ist zu groß",
    422: "Einige Eingaben sind ungültig",
    429: "Zu viele Anfragen; bitte einen Moment warten",
  },
  // Translations for the errors that annotators can see. The error for a paused member keeps the server's
  // text, because that text contains the manager's reason.
  byType: {
    "lease-lost": "Die Zuteilung ist abgelaufen, oder die Aufgabe wurde zurückgegeben.",
    "already-answered": "Diese Aufgabe wurde mit diesem Konto schon beantwortet.",
    "stale-draft": "Ein neuerer Entwurf wurde in einem anderen Tab oder auf einem anderen Gerät gespeichert.",
    stale: "Inzwischen gibt es einen neueren Stand. Die Seite neu laden und noch einmal prüfen.",
    "not-answered": "Zu dieser Aufgabe gibt es noch keine Antwort, die geändert werden kann.",
    "qualification-answered":
      "Antworten auf Übungsaufgaben können nicht geändert werden, weil die richtige Antwort schon gezeigt wurde.",
    "idempotency-key-reused":
      "Diese Antwort wurde schon einmal mit anderem Inhalt gesendet. Die Seite neu laden.",
    "project-not-active": "Sobald das Projekt wieder aktiv ist, geht es weiter.",
    "project-archived": "Das Projekt ist archiviert und nimmt keine Antworten mehr an.",
    "annotator-excluded": "Die Projektleitung kann den Grund nennen.",
    "qualification-failed":
      "Das verlangte Ergebnis wurde in keinem Versuch erreicht. Die Projektleitung kann einen weiteren Versuch gewähren.",
    "cap-reached": "Mehr Aufgaben pro Person sind in diesem Projekt nicht vorgesehen. Vielen Dank.",
    "daily-cap-reached":
      "Mehr Aufgaben pro Person und Tag sind nicht vorgesehen. Der nächste Tag beginnt um Mitternacht UTC.",
    throttled: "Bitte einen Moment warten und noch einmal versuchen.",
    not_authenticated: "Nach der Anmeldung geht es hier weiter.",
  },
};

const TEXTS: Record<Language, typeof en> = { en, de };

export const problemTexts = () => TEXTS[currentLanguage()];
