import { plural } from "@/shared/format";

export const en = {
  unsaved: {
    title: "Leave without saving?",
    text: "What you changed on this page is not saved, and would be lost.",
    leave: "Leave",
    stay: "Stay here",
    changes: (many: number) => `${plural(many, "unsaved change")}`,
    saved: "Saved",
    save: "Save changes",
    discard: "Discard",
  },
  more: "Show more",
  range: (min: number | undefined, max: number | undefined) =>
    min === undefined ? `At most ${max}.` : max === undefined ? `At least ${min}.` : `From ${min} to ${max}.`,
  settings: {
    nav: "Settings",
    general: "General",
    form: "Answer form",
    checks: "Checks",
    webhooks: "Webhooks",
    audit: "Audit log",
  },
} as const;
