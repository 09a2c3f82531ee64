import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import { ApiProblem } from "@/api/problem";
import type { Exclusion, ExclusionEffect, LiftEffect, ReviewQueue } from "@/api/types";

export const qualityQuery = (slug: string) =>
  queryOptions({
    queryKey: ["projects", slug, "quality"],
    queryFn: () => unwrap(api.GET("/api/v1/projects/{slug}/quality/", { params: { path: { slug } } })),
  });

export const disagreementQuery = (slug: string) =>
  queryOptions({
    queryKey: ["reviews", slug],
    queryFn: (): Promise<ReviewQueue> =>
      unwrap(api.GET("/api/v1/projects/{slug}/reviews/", { params: { path: { slug } } })),
  });

/** Current and lifted exclusions, newest first. */
export const exclusionsQuery = (slug: string) =>
  queryOptions({
    queryKey: ["projects", slug, "exclusions"],
    queryFn: async (): Promise<Exclusion[]> =>
      (await unwrap(api.GET("/api/v1/projects/{slug}/exclusions/", { params: { path: { slug } } }))).results,
  });

/** A project member, or an annotator name from an imported file. */
export type Who = { username: string } | { annotator_label: string };

/**
 * Previews the exclusion of the annotator with this name. The quality report lists both members and imported
 * annotators by name. The name is first looked up among the members, then among the imported annotators.
 */
export async function effectOfExcluding(
  slug: string,
  name: string,
): Promise<{ who: Who; effect: ExclusionEffect }> {
  const ask = (who: Who) =>
    unwrap(
      api.POST("/api/v1/projects/{slug}/exclusions/preview", { params: { path: { slug } }, body: who }),
    ).then((effect) => ({ who, effect }));
  try {
    return await ask({ username: name });
  } catch (error) {
    if (!nobodyHasThisName(error)) throw error;
    return await ask({ annotator_label: name });
  }
}

function nobodyHasThisName(error: unknown): boolean {
  return error instanceof ApiProblem && error.status === 422 && "username" in error.byField();
}

export function exclude(slug: string, who: Who, reason: string): Promise<Exclusion> {
  return unwrap(
    api.POST("/api/v1/projects/{slug}/exclusions/", {
      params: { path: { slug } },
      body: { ...who, reason },
    }),
  );
}

export function effectOfLifting(id: string): Promise<LiftEffect> {
  return unwrap(api.GET("/api/v1/exclusions/{id}/lift/preview", { params: { path: { id } } }));
}

export async function lift(id: string): Promise<void> {
  await unwrap(api.POST("/api/v1/exclusions/{id}/lift", { params: { path: { id } } }));
}
