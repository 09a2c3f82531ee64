import type { Texts } from "@/shared/i18n";
import type { en } from "./parts.en";

export const de: Texts<typeof en> = {
  close: "Schließen",
  speakers: { user: "Mensch", assistant: "Assistent", system: "Systemvorgabe", tool: "Werkzeug" },
  empty: "(leer)",
  copied: "Kopiert",
  notLoaded: (alt) => (alt ? `Bild nicht geladen: ${alt}` : "Bild nicht geladen"),
  plain: {
    unreadable: "Als reiner Text angezeigt, weil die Formatierung nicht verarbeitet werden konnte.",
    long: "Als reiner Text angezeigt, weil er sehr lang ist.",
    endless: "Als reiner Text angezeigt, weil er ein extrem langes Wort enthält.",
    nested: "Als reiner Text angezeigt, weil er sehr tief verschachtelt ist.",
  },
};
