const tasks = (n: number) => (n === 1 ? "1 task" : `${n} tasks`);

/** What the desk says about the flow of work: sending, taking back, pausing, reporting, practice. */
export const en = {
  sendNow: "Send now",
  waitingTitle: (n: number) => `${n === 1 ? "An answer waits" : `${n} answers wait`} to be sent`,
  waiting: (why: string) =>
    `${why}. Your work is kept in this browser and will be sent, once, when the server answers.`,
  sessionEnded: "Your session has ended. Log in again and it is sent.",
  notKept: "This browser keeps nothing: leave this page open until it is sent.",
  notTaken: (excerpt: string) => `An answer was not taken: “${excerpt}”`,
  tooLate:
    "Your hold on the task ended before the answer arrived, and the task may have gone to somebody else. It has not been counted. If the task comes to you again, your answer is sent by itself.",
  answeredElsewhere: "The task was answered already, from another tab or device. That answer counts.",
  backToIt: "Back to that answer",
  changeThatOne: "Change that answer",
  letGo: "Let it go",
  nothingKept: "What was shown is no longer in this browser.",

  sending: "Sending…",
  saved: (n: number) => `Saved · ${n} this session`,
  skipped: "Skipped",
  elsewhere: "You answered that task in another tab",
  revised: "Your change is saved",
  draftSaving: "Saving…",
  draftWaiting: "Kept in this browser; the server can’t be reached",
  draftRefused: "Kept in this browser",
  draftSaved: "Draft saved",
  changeKept: "Kept in this browser until you submit it",

  lostTitle: "This task is no longer yours",
  lostKept: "What you ranked is kept as a draft in this browser. It has not been counted as an answer.",
  getTask: "Get a task",
  refusedTitle: "This answer was not taken",
  refusedThen: "Change what it names and submit again.",
  behindTitle: "Not saved on the server",
  behindKept: "Your work is kept in this browser, and you can still submit it.",
  loadServers: "Load the server’s version",
  offlineTitle: "The server can’t be reached",
  heldUntil: (time: string) =>
    `This task is kept for you until ${time}. What you do is kept in this browser; go on.`,
  heldNoMore: (time: string) =>
    `Your hold on this task ended at ${time}. Go on: your answer is sent when the connection is back, and counts if nobody else was given the task.`,

  takeBack: "Take back",
  takeBackLabel: "Take back my last answer",
  takingBackTitle: "You are changing your last answer",
  takingBack: "Submit it to put the new one in its place. Until then the old one counts.",
  takingBackElse: "This answer was given already",
  leaveIt: "Leave it as it was",
  nothingToTakeBack: "There is no answer of yours to take back here.",

  pause: "Pause",
  pauseLabel: "Pause",
  paused: "Paused",
  pausedText: (time: string) =>
    `Your time is not counted. The task is kept for you until ${time}, as long as this page stays open; after that it may go to somebody else, and what you ranked stays here as a draft.`,
  pausedRevising: "Your time is not counted. The answer you are changing stands until you submit it anew.",
  goOn: "Go on ranking",

  report: "Report",
  reportLabel: "Report a problem with this task",
  reportTitle: "Report a problem with this task",
  reportNote:
    "The managers of the project read this. The task stays yours: rank it, or skip it, all the same.",
  reportKind: "What is wrong?",
  reportKinds: {
    unreadable: "It can’t be read",
    wrong_language: "It is in the wrong language",
    unsafe: "It is harmful or upsetting",
    duplicate: "I have seen it before",
    other: "Something else",
  },
  reportText: "In your words",
  reportTextOther: "Say what is wrong, so that somebody can mend it.",
  reportSend: "Send report",
  reported: "Reported to the managers",
  cancel: "Cancel",

  paceLabel: "Your work in this project",
  today: (n: number) => `${n} today`,
  inAll: (n: number) => `${n} in all`,
  perTask: (time: string) => `${time} per task`,
  leftToday: (n: number) => `${n} left today`,

  practice: "Practice",
  practiceLeft: (left: number, all: number) => `${left} of ${tasks(all)} left`,
  practiceAttempt: (attempt: number, attempts: number) => `attempt ${attempt} of ${attempts}`,
  practiceNote: "After each answer you see what was right. Qualify, and you rank for the project.",
  feedbackTitle: "What was right",
  feedbackWaiting: "Your answer is on its way. What was right is shown as soon as it is in.",
  feedbackScore: (percent: string) => `${percent} right`,
  feedbackAllRight: "Every pair is right.",
  feedbackPlace: "Response",
  feedbackYours: "Yours",
  feedbackRight: "Right",
  feedbackPairs: "Pair by pair",
  feedbackPair: (better: string, worse: string) => `${better} is better than ${worse}`,
  feedbackSaid: { right: "right", tied: "you tied them: half right", wrong: "wrong" },
  unranked: "not ranked",
  passedTitle: "You qualified",
  passed: (score: string, mark: string) =>
    `${score} right over all practice tasks; the project asks for ${mark}. From here on your rankings count.`,
  failedTitle: "Not yet",
  failed: (score: string, mark: string) =>
    `${score} right over all practice tasks of this attempt; the project asks for ${mark}.`,
  attemptsLeft: (n: number) =>
    n === 0
      ? "That was the last attempt. A manager of the project can grant another one."
      : `${n === 1 ? "One more attempt follows, and it is the last" : `${n} more attempts follow`}. It begins with the next task.`,
  next: "Next task",

  fetching: "Fetching a task",
  nextWaits: "The next task comes when the server can be reached.",
  tryAgain: "Try again",

  rewriteOriginal: "Original",
  rewriteYours: "Yours",
  rewriteStart: (letter: string) => `Start from ${letter}`,
  rewriteDone: "Done",
};
