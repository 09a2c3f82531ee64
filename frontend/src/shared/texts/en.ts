import { plural } from "@/shared/format";

export const en = {
  unsaved: {
    title: "Leave without saving?",
    text: "Your changes on this page have not been saved and will be lost.",
    leave: "Leave",
    stay: "Stay",
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
