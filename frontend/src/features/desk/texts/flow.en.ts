const tasks = (n: number) => (n === 1 ? "1 task" : `${n} tasks`);

/** UI texts for the annotator's workflow: sending, taking back, pausing, reporting and practice. */
export const en = {
  sendNow: "Send now",
  waitingTitle: (n: number) => `${n === 1 ? "An answer is" : `${n} answers are`} waiting to be sent`,
  waiting: (why: string) =>
    `${why}. Your work is saved in this browser and will be sent as soon as the server is available.`,
  sessionEnded: "Your session has ended. Log in again to send your work.",
  notKept: "This browser cannot store data. Keep this page open until your answer is sent.",
  notTaken: (excerpt: string) => `An answer was not accepted: “${excerpt}”`,
  tooLate:
    "The task was no longer assigned to you when the answer arrived. Someone else may have the task now. The answer does not count. If you get the task again, your answer will be sent automatically.",
  answeredElsewhere:
    "You already answered this task in another tab or on another device. That answer counts.",
  backToIt: "Back to that answer",
  changeThatOne: "Change that answer",
  letGo: "Discard",
  nothingKept: "The task is no longer stored in this browser.",

  sending: "Sending…",
  saved: (n: number) => `Saved · ${n} this session`,
  skipped: "Skipped",
  elsewhere: "You answered that task in another tab",
  revised: "Your change is saved",
  draftSaving: "Saving…",
  draftWaiting: "Saved in this browser; the server can’t be reached",
  draftRefused: "Saved in this browser",
  draftSaved: "Draft saved",
  changeKept: "Saved only in this browser until you submit the change",

  lostTitle: "This task is no longer assigned to you",
  lostKept: "Your ranking is saved in this browser as a draft, which does not count as an answer.",
  getTask: "Get a task",
  refusedTitle: "This answer was not accepted",
  refusedThen: "Correct your answer and submit it again.",
  behindTitle: "Not saved on the server",
  behindKept: "Your work is saved in this browser, and you can still submit it.",
  loadServers: "Load the server’s version",
  offlineTitle: "The server can’t be reached",
  heldUntil: (time: string) =>
    `This task is reserved for you until ${time}. Your work is saved in this browser; you can continue.`,
  heldNoMore: (time: string) =>
    `Your reservation ended at ${time}. You can continue. Your answer will be sent when the connection is restored. The answer will count unless someone else has received the task.`,

  takeBack: "Take back",
  takeBackLabel: "Take back my last answer",
  takingBackTitle: "You are changing your last answer",
  takingBack: "When you submit the new answer, it replaces the old one. Until then, the old answer counts.",
  takingBackElse: "This answer has already been submitted",
  leaveIt: "Keep my earlier answer",
  nothingToTakeBack: "You have no answer to take back here.",

  pause: "Pause",
  pauseLabel: "Pause",
  paused: "Paused",
  pausedText: (time: string) =>
    `The timer is stopped. The task is reserved for you until ${time} if this page stays open. After that, someone else may get the task, and your ranking stays here as a draft.`,
  pausedRevising: "The timer is stopped. Your earlier answer counts until you submit the new one.",
  goOn: "Continue ranking",

  report: "Report",
  reportLabel: "Report a problem with this task",
  reportTitle: "Report a problem with this task",
  reportNote: "The project managers will read this report. You can still rank or skip the task.",
  reportKind: "What is wrong?",
  reportKinds: {
    unreadable: "The text can’t be read",
    wrong_language: "The text is in the wrong language",
    unsafe: "The content is harmful or upsetting",
    duplicate: "I have seen this task before",
    other: "Something else",
  },
  reportText: "Details (optional)",
  reportTextOther: "Tell us what is wrong so we can fix it.",
  reportSend: "Send report",
  reported: "Reported to the managers",
  cancel: "Cancel",

  paceLabel: "Your work in this project",
  today: (n: number) => `${n} today`,
  inAll: (n: number) => `${n} in total`,
  perTask: (time: string) => `${time} per task`,
  leftToday: (n: number) => `${n} left today`,

  practice: "Practice",
  practiceLeft: (left: number, all: number) => `${left} of ${tasks(all)} left`,
  practiceAttempt: (attempt: number, attempts: number) => `attempt ${attempt} of ${attempts}`,
  practiceNote: "After each answer, you see the correct answer. Once you qualify, your rankings count.",
  feedbackTitle: "Correct answer",
  feedbackWaiting:
    "Your answer is being sent. The correct answer will appear as soon as the server has received yours.",
  feedbackScore: (percent: string) => `${percent} correct`,
  feedbackAllRight: "All pairs are correct.",
  feedbackPlace: "Response",
  feedbackYours: "Yours",
  feedbackRight: "Correct",
  feedbackPairs: "Pair by pair",
  feedbackPair: (better: string, worse: string) => `${better} is better than ${worse}`,
  feedbackSaid: { right: "correct", tied: "you tied them: half correct", wrong: "incorrect" },
  unranked: "not ranked",
  passedTitle: "You qualified",
  passed: (score: string, mark: string) =>
    `You scored ${score} on the practice tasks of this attempt; the project requires ${mark}. Your rankings count from now on.`,
  failedTitle: "Not qualified yet",
  failed: (score: string, mark: string) =>
    `You scored ${score} on the practice tasks of this attempt; the project requires ${mark}.`,
  attemptsLeft: (n: number) =>
    n === 0
      ? "That was your last attempt. A project manager can grant another attempt."
      : `${n === 1 ? "You have one more attempt" : `You have ${n} more attempts`}. The next attempt starts with the next task.`,
  next: "Next task",

  fetching: "Loading a task",
  nextWaits: "The next task appears when the server can be reached.",
  tryAgain: "Try again",

  rewriteOriginal: "Original",
  rewriteYours: "Yours",
  rewriteStart: (letter: string) => `Start from ${letter}`,
  rewriteDone: "Done",
};
