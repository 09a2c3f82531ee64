import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { Member, Role } from "@/api/types";

export const membersQuery = (slug: string) =>
  queryOptions({
    queryKey: ["members", slug],
    queryFn: async (): Promise<Member[]> =>
      (await unwrap(api.GET("/api/v1/projects/{slug}/members/", { params: { path: { slug } } }))).results,
  });

export async function addMember(slug: string, username: string, role: Role): Promise<Member> {
  return unwrap(
    api.POST("/api/v1/projects/{slug}/members/", { params: { path: { slug } }, body: { username, role } }),
  );
}
