import type { Texts } from "@/shared/i18n";
import type { en } from "./answer.en";

export const de: Texts<typeof en> = {
  notAnswered: "Noch nicht beantwortet",
  mayStayOpen: "(freiwillig)",
  gaps: {
    better: "welche Antwort besser ist",
    more: (n) => `noch ${n} zu ordnen`,
    strength: "wie viel besser die beste Antwort ist",
    rating: (scale, letters) => `${scale} von ${letters}`,
    confidence: "wie sicher das Urteil ist",
  },

  required: "erforderlich",
  numberBetween: (asked, min, max) => `${asked}, ${min} bis ${max}`,
  howMuchBetter: "Wie viel besser ist die beste Antwort?",
  howSure: "Wie sicher ist das Urteil?",
  allBadMeans: {
    asked: "Die Reihenfolge zählt trotzdem.",
    none: "Die Reihenfolge wird nicht erfasst.",
    tied: "Alle Antworten werden als gleichauf erfasst.",
  },
  notComparableBox: "Diese Antworten lassen sich nicht vergleichen",
  notRankableBox: "Diese Antworten lassen sich nicht ordnen",
  notRankableMeans: "Die Anfrage ergibt keinen Sinn, oder es gibt keine faire Reihenfolge.",
  flagsOf: (letter) => `Kennzeichen der Antwort ${letter}`,

  rewriteMeans: "Die Antwort, die das Modell hätte geben sollen, falls keine der gezeigten gut genug ist.",
  startFromBest: "Von der besten Antwort ausgehen",
  rewriteBeside: "Neben dem Original schreiben",
  words: (n) => (n === 1 ? "1 Wort" : `${n} Wörter`),
};
