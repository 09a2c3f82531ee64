import { infiniteQueryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { Invitation, Member, Role } from "@/api/types";
import { cursorOf } from "@/shared/paging";

export const membersQuery = (slug: string) =>
  infiniteQueryOptions({
    queryKey: ["members", slug, "list"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/members/", {
          params: { path: { slug }, query: { ...(pageParam && { cursor: pageParam }) } },
        }),
      ),
    getNextPageParam: (last) => cursorOf(last.next),
  });

export type MemberChange = {
  username: string;
  role: Role;
  state?: Member["state"];
  paused_reason?: string;
};

/** Adds a member, or changes an existing member. */
export async function putMember(
  slug: string,
  { paused_reason = "", ...change }: MemberChange,
): Promise<Member> {
  return unwrap(
    api.POST("/api/v1/projects/{slug}/members/", {
      params: { path: { slug } },
      body: { ...change, paused_reason },
    }),
  );
}

export async function grantAttempt(slug: string, username: string): Promise<Member> {
  const params = { path: { slug, username } };
  return unwrap(api.POST("/api/v1/projects/{slug}/members/{username}/attempts", { params }));
}

export const invitationsQuery = (slug: string) =>
  infiniteQueryOptions({
    queryKey: ["members", slug, "invitations"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/invitations/", {
          params: { path: { slug }, query: { ...(pageParam && { cursor: pageParam }) } },
        }),
      ),
    getNextPageParam: (last) => cursorOf(last.next),
  });

type NewInvitation = { role: Role; days: number; note: string };

/**
 * Creates an invitation and returns its link, which is shown only once. The token is in the link's fragment
 * (`#`), which browsers do not send to servers.
 */
export async function invite(slug: string, body: NewInvitation): Promise<string> {
  const params = { path: { slug } };
  const { token } = await unwrap(api.POST("/api/v1/projects/{slug}/invitations/", { params, body }));
  return `${window.location.origin}/join#${token}`;
}

export async function revokeInvitation(id: string): Promise<Invitation> {
  return unwrap(api.POST("/api/v1/invitations/{id}/revoke", { params: { path: { id } } }));
}
