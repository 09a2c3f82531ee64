import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { Webhook, WebhookDelivery, WebhookEvent } from "@/api/types";
import { cursorOf } from "@/shared/paging";

const PAGE = 20;
/** Polling interval while the next attempt of a delivery is due within ten seconds. */
const WATCH_MS = 2_000;

export const webhooksQuery = (slug: string) =>
  queryOptions({
    queryKey: ["webhooks", slug],
    queryFn: async (): Promise<Webhook[]> =>
      (await unwrap(api.GET("/api/v1/projects/{slug}/webhooks/", { params: { path: { slug } } }))).results,
  });

/**
 * Polls while the next attempt of a delivery is due within ten seconds. Later attempts follow after minutes
 * or hours, so the page does not poll for their results.
 */
export const deliveriesQuery = (id: string) =>
  infiniteQueryOptions({
    queryKey: ["webhook-deliveries", id],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/api/v1/webhooks/{id}/deliveries/", {
          params: { path: { id }, query: { page_size: PAGE, ...(pageParam && { cursor: pageParam }) } },
        }),
      ),
    getNextPageParam: (last) => cursorOf(last.next),
    refetchInterval: (query) => {
      const rows = query.state.data?.pages[0]?.results ?? [];
      return rows.some(isUnderWay) ? WATCH_MS : false;
    },
  });

function isUnderWay({ state, next_attempt_at }: WebhookDelivery): boolean {
  return state === "pending" && next_attempt_at !== null && Date.parse(next_attempt_at) < Date.now() + 10_000;
}

export type WebhookSettings = { url: string; events: WebhookEvent[]; description: string };
type WithSecret = { webhook: Webhook; secret: string };

export async function makeWebhook(slug: string, body: WebhookSettings): Promise<WithSecret> {
  return unwrap(api.POST("/api/v1/projects/{slug}/webhooks/", { params: { path: { slug } }, body }));
}

export async function changeWebhook(
  id: string,
  body: Partial<WebhookSettings & { state: Webhook["state"] }>,
): Promise<Webhook> {
  return unwrap(api.PATCH("/api/v1/webhooks/{id}/", { params: { path: { id } }, body }));
}

export async function rotateSecret(id: string): Promise<WithSecret> {
  return unwrap(api.POST("/api/v1/webhooks/{id}/rotate", { params: { path: { id } } }));
}

export async function sendTest(id: string): Promise<WebhookDelivery> {
  return unwrap(api.POST("/api/v1/webhooks/{id}/test", { params: { path: { id } } }));
}

export async function replay(id: string): Promise<WebhookDelivery> {
  return unwrap(api.POST("/api/v1/webhook-deliveries/{id}/replay", { params: { path: { id } } }));
}
