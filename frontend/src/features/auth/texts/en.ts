export const en = {
  title: "Log in",
  lead: "Rank model responses. Train on the rankings. Repeat.",
  ended: "Your session ended",
  endedWhy: "Log in to continue where you left off. Your answers are saved in this browser.",
  wrong: "Wrong username or password",
  wrongWhat: "Check your username and password, or ask the site admin for a password reset link.",
  username: "Username",
  password: "Password",
  logIn: "Log in",
  logInWith: (provider: string) => `Log in with ${provider}`,
  code: "Code",
  codeHelp: "Enter a code from your authenticator app or one of your recovery codes.",
  startAgain: "Start again",
  language: "Language",
  reset: {
    title: "Set a new password",
    password: "New password",
    passwordHelp:
      "At least 10 characters. All your other sessions will end, and your API tokens will be revoked.",
    set: "Set password and log in",
    missing: "This link is incomplete",
    missingText: "Open the complete link that you received, including the part after #.",
  },
  /** Reasons why a login with a provider failed, by the reason code in the URL. */
  refusals: {
    unknown: {
      title: "No account is linked to this login",
      text: "Ask the site admin for an account, or link this login on your account page.",
    },
    inactive: { title: "Your account is deactivated", text: "Contact the site admin." },
    cancelled: { title: "The login was cancelled", text: "You can try again, or use your password." },
    taken: {
      title: "This login is linked to another account",
      text: "Log in with that account, or contact the site admin.",
    },
    failed: {
      title: "The login failed",
      text: "Try again. If the login fails again, contact the site admin; the server log contains the reason.",
    },
  },
};
