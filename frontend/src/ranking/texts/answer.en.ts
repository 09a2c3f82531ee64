/** Texts about unanswered questions, and about all questions of the form except the order. */
export const en = {
  notAnswered: "Not answered yet",
  mayStayOpen: "(optional)",
  gaps: {
    better: "which response is better",
    more: (n: number) => `${n} more to rank`,
    strength: "how much better the best response is",
    rating: (scale: string, letters: string) => `${scale} of ${letters}`,
    confidence: "your confidence",
  },

  required: "required",
  numberBetween: (asked: string, min: number, max: number) => `${asked}, ${min} to ${max}`,
  howMuchBetter: "How much better is the best response?",
  howSure: "How sure are you?",
  allBadMeans: {
    asked: "The order still counts.",
    none: "Your order is not recorded.",
    tied: "All responses are recorded as tied.",
  },
  notComparableBox: "These responses can’t be compared",
  notRankableBox: "These responses can’t be ranked",
  notRankableMeans: "The prompt makes no sense, or no fair order exists.",
  flagsOf: (letter: string) => `Flags of response ${letter}`,

  rewriteMeans:
    "The response that the model should have given, if none of the responses shown is good enough.",
  startFromBest: "Start from the best response",
  rewriteBeside: "Write beside the original",
  words: (n: number) => (n === 1 ? "1 word" : `${n} words`),
};
