import { Button } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import type { Webhook, WebhookDelivery, WebhookEvent } from "@/api/types";
import { ago, count, moment } from "@/shared/format";
import { Badge, Loading, ProblemNotice, TableScroll, type Tone } from "@/shared/ui";
import { MoreButton } from "@/shared/ui/MoreButton";
import ui from "@/shared/ui/ui.module.css";
import { deliveriesQuery, replay } from "../api/webhooks";
import { useTexts } from "../texts";
import styles from "./webhooks.module.css";

const TONES: Record<WebhookDelivery["state"], Tone> = { pending: "info", delivered: "good", dead: "bad" };

/** Past and pending deliveries, newest first, with their results. */
export function Deliveries({ webhook }: { webhook: Webhook }) {
  const t = useTexts();
  const queryClient = useQueryClient();
  const deliveries = useInfiniteQuery(deliveriesQuery(webhook.id));
  const again = useMutation({
    mutationFn: replay,
    onSettled: () => queryClient.invalidateQueries({ queryKey: deliveriesQuery(webhook.id).queryKey }),
  });
  const rows = deliveries.data?.pages.flatMap(({ results }) => results) ?? [];
  if (deliveries.isError) return <ProblemNotice error={deliveries.error} />;
  if (deliveries.isPending) return <Loading label={t.loadingDeliveries} />;
  if (rows.length === 0) return <p className={styles.dim}>{t.noDeliveries}</p>;
  return (
    <>
      {again.isError && <ProblemNotice error={again.error} />}
      <TableScroll label={t.deliveries}>
        <thead>
          <tr>
            <th>{t.event}</th>
            <th>{t.when}</th>
            <th>{t.state}</th>
            <th className={ui.number}>{t.attempts}</th>
            <th>{t.last}</th>
            <th>
              <span className="visually-hidden">{t.again}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((delivery) => {
            const event = t.events[delivery.event as WebhookEvent] ?? t.testEvent;
            return (
              <tr key={delivery.id}>
                <td>{event}</td>
                <td title={moment(delivery.created_at, { precise: true })}>{ago(delivery.created_at)}</td>
                <td>
                  <Badge tone={TONES[delivery.state]}>{t.states[delivery.state]}</Badge>
                  {delivery.state === "pending" &&
                    delivery.attempts.length > 0 &&
                    delivery.next_attempt_at && (
                      <span className={styles.dim}>
                        {" "}
                        {t.next(moment(delivery.next_attempt_at, { precise: true }))}
                      </span>
                    )}
                </td>
                <td className={ui.number}>{count(delivery.attempts.length)}</td>
                <td>
                  <LastAnswer delivery={delivery} />
                </td>
                <td className={ui.number}>
                  <Button
                    size="compact-xs"
                    variant="default"
                    aria-label={t.againNamed(event)}
                    disabled={webhook.state !== "active"}
                    loading={again.isPending && again.variables === delivery.id}
                    onClick={() => again.mutate(delivery.id)}
                  >
                    {t.again}
                  </Button>
                </td>
              </tr>
            );
          })}
        </tbody>
      </TableScroll>
      <MoreButton query={deliveries} />
    </>
  );
}

function LastAnswer({ delivery }: { delivery: WebhookDelivery }) {
  const t = useTexts();
  const last = delivery.attempts.toSorted((a, b) => a.at.localeCompare(b.at)).at(-1);
  if (!last) return t.none;
  return (
    <span title={moment(last.at, { precise: true })}>
      {last.status ?? last.error} <span className={styles.dim}>{t.ms(last.latency_ms)}</span>
    </span>
  );
}
