import type { WebhookDelivery, WebhookEvent } from "@/api/types";

const events: Record<WebhookEvent, string> = {
  "ranking.submitted": "A ranking is submitted",
  "task.finished": "A task has all its rankings",
  "snapshot.frozen": "A snapshot is frozen",
  "run.finished": "A run finishes",
};
const states: Record<WebhookDelivery["state"], string> = {
  pending: "pending",
  delivered: "delivered",
  dead: "failed",
};

export const en = {
  title: "Webhooks",
  lead: "Send events to your own services. Deliveries are signed as specified by Standard Webhooks. Failed deliveries are retried for three days.",
  loading: "Loading webhooks",
  loadingDeliveries: "Loading deliveries",
  events,
  states,
  newTitle: "New webhook",
  url: "URL",
  urlHelp:
    "Must start with https:// and be reachable from the internet, unless the site allows private networks.",
  description: "Description",
  tell: "Events",
  make: "Create webhook",
  secretTitle: "Copy the secret now. It is shown only once.",
  secretText: "Use the secret to verify the signature of each delivery.",
  copySecret: "Copy the secret",
  emptyTitle: "No webhooks yet",
  emptyText:
    "A webhook notifies your service when a task is done, a snapshot is frozen or a run finishes. Create a webhook above, then send a test.",
  active: "active",
  disabled: "disabled",
  disabledBecause: (reason: string) => `Disabled: ${reason}`,
  failing: (since: string) => `No successful delivery since ${since}.`,
  unreadable: "The secret can’t be read",
  unreadableText:
    "The site’s secret key was changed, so deliveries can’t be signed and are not sent. Rotate the secret and give the new secret to the receiver. Pending deliveries are then sent.",
  formerUntil: (until: string) => `Deliveries are also signed with the previous secret until ${until}.`,
  test: "Send a test",
  rotate: "Rotate secret",
  rotateTitle: "Rotate the secret?",
  rotateText: "For one day, deliveries are also signed with the previous secret.",
  rotateConfirm: "Rotate secret",
  edit: "Edit",
  save: "Save",
  cancel: "Cancel",
  disable: "Disable",
  enable: "Enable",
  enableHint:
    "If you enable the webhook, its pending events are sent. Events that occurred while the webhook was disabled are not sent.",
  deliveries: "Deliveries",
  hide: "Hide deliveries",
  noDeliveries: "No deliveries yet.",
  event: "Event",
  state: "State",
  when: "When",
  attempts: "Attempts",
  last: "Last response",
  next: (when: string) => `next attempt ${when}`,
  testEvent: "Test",
  again: "Resend",
  againNamed: (event: string) => `Resend ${event}`,
  none: "none",
  ms: (latency: number) => `${latency} ms`,
} as const;
