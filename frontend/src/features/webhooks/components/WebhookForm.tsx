import { Button, Checkbox, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { WebhookEvent } from "@/api/types";
import { ProblemNotice } from "@/shared/ui";
import type { WebhookSettings } from "../api/webhooks";
import { useTexts } from "../texts";
import styles from "./webhooks.module.css";

const EVENTS: readonly WebhookEvent[] = [
  "ranking.submitted",
  "task.finished",
  "snapshot.frozen",
  "run.finished",
  "round.finished",
  "gate.opened",
  "model.promoted",
];

/** Creates or edits a webhook. */
export function WebhookForm({
  start,
  label,
  error,
  busy,
  onSave,
  onCancel,
}: {
  start: WebhookSettings;
  label: string;
  error: unknown;
  busy: boolean;
  onSave: (settings: WebhookSettings) => void;
  onCancel?: () => void;
}) {
  const t = useTexts();
  const [url, setUrl] = useState(start.url);
  const [description, setDescription] = useState(start.description);
  const [events, setEvents] = useState<WebhookEvent[]>(start.events);
  const refused = error instanceof ApiProblem ? error.byField() : {};
  return (
    <form
      className={styles.form}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        onSave({ url: url.trim(), description: description.trim(), events });
      }}
    >
      <TextInput
        label={t.url}
        description={t.urlHelp}
        type="url"
        inputMode="url"
        value={url}
        error={refused.url ?? false}
        onChange={(event) => setUrl(event.currentTarget.value)}
      />
      <TextInput
        label={t.description}
        maxLength={200}
        value={description}
        error={refused.description ?? false}
        onChange={(event) => setDescription(event.currentTarget.value)}
      />
      <Checkbox.Group
        className={styles.wide ?? ""}
        label={t.tell}
        value={events}
        error={refused.events ?? false}
        onChange={(values) => setEvents(values as WebhookEvent[])}
      >
        <div className={styles.events}>
          {EVENTS.map((event) => (
            <Checkbox key={event} size="sm" value={event} label={t.events[event]} />
          ))}
        </div>
      </Checkbox.Group>
      {error != null && Object.keys(refused).length === 0 && (
        <div className={styles.wide}>
          <ProblemNotice error={error} />
        </div>
      )}
      <div className={styles.buttons}>
        <Button type="submit" loading={busy} disabled={!url.trim() || events.length === 0}>
          {label}
        </Button>
        {onCancel && (
          <Button variant="default" onClick={onCancel}>
            {t.cancel}
          </Button>
        )}
      </div>
    </form>
  );
}
