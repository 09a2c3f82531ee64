import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { InvitedTo, Me } from "@/api/types";

/** The token is sent in the body, because URLs are logged. Viewing an invitation does not use it up. */
export const invitationQuery = (token: string) =>
  queryOptions({
    queryKey: ["invitation", token],
    enabled: token !== "",
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: (): Promise<InvitedTo> => unwrap(api.POST("/api/v1/auth/invitation", { body: { token } })),
  });

export async function enter(token: string, username: string, password: string): Promise<Me> {
  return unwrap(api.POST("/api/v1/auth/invitation/accept", { body: { token, username, password } }));
}

export async function join(token: string): Promise<void> {
  await unwrap(api.POST("/api/v1/account/join", { body: { token } }));
}
