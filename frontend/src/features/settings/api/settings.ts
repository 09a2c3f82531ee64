import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { Check, CheckKind, Project, ProjectChanges } from "@/api/types";

export async function changeProject(slug: string, body: ProjectChanges): Promise<Project> {
  return unwrap(api.PATCH("/api/v1/projects/{slug}/", { params: { path: { slug } }, body }));
}

/**
 * The kinds of checks that exist in the project. The rate of gold tasks or attention checks, or the pass mark
 * for qualification tasks, has no effect while the project has no tasks of that kind.
 */
export const checkKindsQuery = (slug: string) =>
  queryOptions({
    queryKey: ["checks", slug, "kinds"],
    queryFn: async (): Promise<ReadonlySet<CheckKind>> => {
      const kinds: CheckKind[] = ["gold", "attention", "qualification"];
      const any = await Promise.all(kinds.map((kind) => anyCheck(slug, kind)));
      return new Set(kinds.filter((_, index) => any[index]));
    },
  });

async function anyCheck(slug: string, kind: CheckKind): Promise<boolean> {
  const params = { path: { slug }, query: { kind, page_size: 1 } };
  const page: { results: Check[] } = await unwrap(api.GET("/api/v1/projects/{slug}/checks/", { params }));
  return page.results.length > 0;
}
