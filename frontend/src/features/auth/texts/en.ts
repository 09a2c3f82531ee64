export const en = {
  title: "Log in",
  lead: "Rank what language models say. Train them on it. Ask again.",
  ended: "Your session ended",
  endedWhy: "Log in to continue where you were. What you had ranked is kept in this browser.",
  wrong: "That username and password do not match an account",
  wrongWhat: "Check both, or ask the person who runs this site for a new password.",
  username: "Username",
  password: "Password",
  logIn: "Log in",
  logInWith: (provider: string) => `Log in with ${provider}`,
  code: "Code",
  codeHelp: "From your authenticator app, or one of your recovery codes.",
  startAgain: "Start again",
  language: "Language",
  /** Why a provider's answer logged nobody in; the words come back in the address. */
  refusals: {
    unknown: {
      title: "No account here belongs to that log-in",
      text: "Ask the person who runs this site for an account, or connect the log-in from your account page.",
    },
    inactive: { title: "Your account is switched off", text: "Ask the person who runs this site." },
    cancelled: { title: "The log-in was cancelled", text: "You can try again, or use your password." },
    taken: {
      title: "That log-in is connected to another account",
      text: "Log in with it, or ask the person who runs this site.",
    },
    failed: {
      title: "The log-in did not work",
      text: "Try again. If it happens twice, tell the person who runs this site; the server's log has the reason.",
    },
  },
};
