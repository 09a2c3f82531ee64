import { currentLanguage, type Language } from "@/shared/i18n/language";

/**
 * What the page itself says of a failed request. Not a catalog: a problem is made outside of components, and one that is said
 * when the connection is gone can't be fetched then.
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
};

const TEXTS: Record<Language, typeof en> = { en, de };

export const problemTexts = () => TEXTS[currentLanguage()];
