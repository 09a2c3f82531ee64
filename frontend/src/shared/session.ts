import { queryOptions } from "@tanstack/react-query";
import { api, rememberCsrfToken, unwrap } from "@/api/client";
import { ApiProblem } from "@/api/problem";
import type { Me, Project } from "@/api/types";

/** Who is logged in; null for nobody. Every page needs it, so it lives outside the features. */
export const meQuery = queryOptions({
  queryKey: ["me"],
  staleTime: 5 * 60_000,
  queryFn: async (): Promise<Me | null> => {
    try {
      const me = await unwrap(api.GET("/api/v1/auth/me"));
      rememberCsrfToken(me.csrf_token);
      return me;
    } catch (error) {
      if (error instanceof ApiProblem && (error.status === 401 || error.status === 403)) return null;
      throw error;
    }
  },
});

/** One project with its form, guidelines and counts; the shell, the desk and the overview all read it. */
export const projectQuery = (slug: string) =>
  queryOptions({
    queryKey: ["projects", slug],
    queryFn: () => unwrap(api.GET("/api/v1/projects/{slug}/", { params: { path: { slug } } })),
  });

/**
 * How many tasks a project has and how many are open. Annotators of a project that mixes in checks are not told (`tasks` is
 * null): there may always be another one.
 */
export function tasksOf({ counts }: Project): { tasks: number | null; open: number } {
  return { tasks: counts.tasks, open: counts.tasks === null ? 1 : (counts.open_tasks ?? 0) };
}

/** A paused member sees the project and nothing more. */
const isActive = (project: Project, role: Project["role"]) =>
  project.role === role && project.member_state !== "paused";

/** What a person may do in a project. The server decides; this only keeps the page from offering what it would refuse. */
export const may = {
  rank: (me: Me, project: Project) =>
    me.is_admin || (project.role !== null && project.member_state !== "paused"),
  readQuality: (me: Me, project: Project) =>
    me.is_admin || isActive(project, "manager") || isActive(project, "reviewer"),
  review: (me: Me, project: Project) =>
    me.is_admin || isActive(project, "manager") || isActive(project, "reviewer"),
  manage: (me: Me, project: Project) => me.is_admin || isActive(project, "manager"),
  watchRuns: (me: Me, project: Project) => me.is_admin || isActive(project, "manager"),
  launchRuns: (me: Me) => me.is_admin,
  /** Whoever manages a project may make another. */
  createProjects: (me: Me) =>
    me.is_admin || me.memberships.some(({ role, state }) => role === "manager" && state === "active"),
} as const;
