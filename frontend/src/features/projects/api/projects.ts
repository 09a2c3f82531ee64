import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { Preset, PresetForm, Project } from "@/api/types";

export const projectsQuery = queryOptions({
  queryKey: ["projects"],
  queryFn: async (): Promise<Project[]> => (await unwrap(api.GET("/api/v1/projects/"))).results,
});

export const progressQuery = (slug: string) =>
  queryOptions({
    queryKey: ["projects", slug, "progress"],
    queryFn: () => unwrap(api.GET("/api/v1/projects/{slug}/progress/", { params: { path: { slug } } })),
  });

/** The presets change only with a new release. */
export const presetsQuery = queryOptions({
  queryKey: ["presets"],
  staleTime: 60 * 60_000,
  queryFn: async (): Promise<PresetForm[]> => unwrap(api.GET("/api/v1/presets/")),
});

/** The number of members on the first page of the member list; further pages are not counted. */
export const memberCountQuery = (slug: string) =>
  queryOptions({
    queryKey: ["members", slug, "count"],
    queryFn: async (): Promise<number> =>
      (await unwrap(api.GET("/api/v1/projects/{slug}/members/", { params: { path: { slug } } }))).results
        .length,
  });

type NewProject = { slug: string; name: string; preset: Preset; overlap: number; guidelines: string };

export async function createProject(body: NewProject): Promise<Project> {
  return unwrap(api.POST("/api/v1/projects/", { body }));
}

export async function updateProject(slug: string, body: { guidelines?: string }): Promise<Project> {
  return unwrap(api.PATCH("/api/v1/projects/{slug}/", { params: { path: { slug } }, body }));
}
