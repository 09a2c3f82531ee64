import type { Role } from "@/api/types";

const roles: Record<Role, string> = {
  annotator: "to rank model responses",
  reviewer: "to rank and to review disagreements",
  manager: "as a manager",
};

export const en = {
  title: "You are invited",
  loading: "Loading the invitation",
  missing: "This link contains no invitation",
  missingText: "Open the complete link that you received, including the part after #.",
  over: "This invitation is no longer valid",
  by: (name: string) => `${name} has invited you`,
  to: "to the project",
  roles,
  ends: (when: string) => `The invitation is valid until ${when}.`,
  username: "Choose a username",
  usernameHelp: "Letters, digits and @ . + - _. The project’s managers can see your username.",
  password: "Choose a password",
  passwordHelp: "At least 10 characters.",
  enter: "Create account",
  haveOne: "Already have an account?",
  logIn: "Log in, then open this link again to accept the invitation.",
  as: (name: string) => `You are logged in as ${name}.`,
  join: (name: string) => `Join as ${name}`,
  other: "Not you? Log out, then open this link again.",
  goAnyway: "Go to the project",
  home: "Go to login",
} as const;
