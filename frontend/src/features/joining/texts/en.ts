import type { Role } from "@/api/types";

const roles: Record<Role, string> = {
  annotator: "to rank what language models say",
  reviewer: "to rank, and to review where people disagree",
  manager: "to manage it",
};

export const en = {
  title: "You are invited",
  loading: "Reading the invitation",
  missing: "There is no invitation in this address",
  missingText: "Open the whole link that you were sent; the part after # belongs to it.",
  over: "This invitation can’t be used",
  by: (name: string) => `${name} invites you`,
  to: "to the project",
  roles,
  ends: (when: string) => `The invitation holds until ${when}.`,
  username: "Choose a username",
  usernameHelp: "Letters, digits and @ . + - _. It is shown to the people who run the project.",
  password: "Choose a password",
  passwordHelp: "At least 10 characters.",
  enter: "Create the account and begin",
  haveOne: "You have an account already?",
  logIn: "Log in, then open this link again.",
  as: (name: string) => `You are logged in as ${name}.`,
  join: (name: string) => `Join as ${name}`,
  other: "Not you? Log out first, then open this link again.",
  goAnyway: "Go to the project",
  home: "To the log-in page",
} as const;
