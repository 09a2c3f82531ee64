import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Webhook } from "@/api/types";
import { moment } from "@/shared/format";
import { Badge, Notice, Panel, ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import {
  changeWebhook,
  deliveriesQuery,
  rotateSecret,
  sendTest,
  type WebhookSettings,
  webhooksQuery,
} from "../api/webhooks";
import { useTexts } from "../texts";
import { Deliveries } from "./Deliveries";
import { Secret } from "./Secret";
import { WebhookForm } from "./WebhookForm";
import styles from "./webhooks.module.css";

/** One endpoint with its events, state and actions. */
export function WebhookCard({ slug, webhook }: { slug: string; webhook: Webhook }) {
  const t = useTexts();
  const queryClient = useQueryClient();
  const [open, setOpen] = useState<"edit" | "rotate" | null>(null);
  const [log, setLog] = useState(false);
  const refresh = () => queryClient.invalidateQueries({ queryKey: webhooksQuery(slug).queryKey });
  const change = useMutation({
    mutationFn: (changes: Partial<WebhookSettings & { state: Webhook["state"] }>) =>
      changeWebhook(webhook.id, changes),
    onSuccess: async () => {
      setOpen(null);
      await refresh();
    },
  });
  const test = useMutation({
    mutationFn: () => sendTest(webhook.id),
    onSuccess: async () => {
      setLog(true);
      await queryClient.invalidateQueries({ queryKey: deliveriesQuery(webhook.id).queryKey });
    },
  });
  const rotate = useMutation({
    mutationFn: () => rotateSecret(webhook.id),
    onSuccess: async () => {
      setOpen(null);
      await refresh();
    },
  });
  const active = webhook.state === "active";
  return (
    <Panel
      title={webhook.description || webhook.url}
      aside={<Badge tone={active ? "good" : "warn"}>{active ? t.active : t.disabled}</Badge>}
    >
      <div className={styles.card}>
        {open === "edit" ? (
          <WebhookForm
            start={webhook}
            label={t.save}
            error={change.error}
            busy={change.isPending}
            onSave={(settings) => change.mutate(settings)}
            onCancel={() => setOpen(null)}
          />
        ) : (
          <>
            <code className={styles.url}>{webhook.url}</code>
            <ul className={styles.told}>
              {webhook.events.map((event) => (
                <li key={event}>{t.events[event]}</li>
              ))}
            </ul>
          </>
        )}
        {!active && webhook.disabled_reason && (
          <Notice tone="warn" title={t.disabledBecause(webhook.disabled_reason)}>
            <p>{t.enableHint}</p>
          </Notice>
        )}
        {webhook.secret_unreadable && (
          <Notice tone="warn" title={t.unreadable}>
            <p>{t.unreadableText}</p>
          </Notice>
        )}
        {active && webhook.failing_since && (
          <p className={styles.warn}>{t.failing(moment(webhook.failing_since))}</p>
        )}
        {webhook.former_secret_until && Date.parse(webhook.former_secret_until) > Date.now() && (
          <p className={styles.dim}>{t.formerUntil(moment(webhook.former_secret_until))}</p>
        )}
        <div className={styles.buttons}>
          <Button
            size="xs"
            variant="default"
            disabled={!active}
            loading={test.isPending}
            onClick={() => test.mutate()}
          >
            {t.test}
          </Button>
          <Button size="xs" variant="default" onClick={() => setOpen("edit")}>
            {t.edit}
          </Button>
          <Button size="xs" variant="default" onClick={() => setOpen("rotate")}>
            {t.rotate}
          </Button>
          <Button
            size="xs"
            variant="default"
            loading={change.isPending && open !== "edit"}
            onClick={() => change.mutate({ state: active ? "disabled" : "active" })}
          >
            {active ? t.disable : t.enable}
          </Button>
          <Button size="xs" variant="subtle" aria-expanded={log} onClick={() => setLog(!log)}>
            {log ? t.hide : t.deliveries}
          </Button>
        </div>
        {test.isError && <ProblemNotice error={test.error} />}
        {change.isError && open !== "edit" && <ProblemNotice error={change.error} />}
        {rotate.data && <Secret secret={rotate.data.secret} />}
        {log && <Deliveries webhook={webhook} />}
      </div>
      {open === "rotate" && (
        <Dialog
          title={t.rotateTitle}
          onClose={() => setOpen(null)}
          actions={
            <>
              <Button variant="default" onClick={() => setOpen(null)}>
                {t.cancel}
              </Button>
              <Button loading={rotate.isPending} onClick={() => rotate.mutate()}>
                {t.rotateConfirm}
              </Button>
            </>
          }
        >
          <p>{t.rotateText}</p>
          {rotate.isError && <ProblemNotice error={rotate.error} />}
        </Dialog>
      )}
    </Panel>
  );
}
