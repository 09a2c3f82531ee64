import { queryOptions } from "@tanstack/react-query";
import { api, rememberCsrfToken, unwrap } from "@/api/client";
import { ApiProblem } from "@/api/problem";
import type { Me, Project } from "@/api/types";

/** The current user; null if nobody is logged in. */
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

/** A project with its form, guidelines and counts, shared by the shell, the desk and the overview. */
export const projectQuery = (slug: string) =>
  queryOptions({
    queryKey: ["projects", slug],
    queryFn: () => unwrap(api.GET("/api/v1/projects/{slug}/", { params: { path: { slug } } })),
  });

/**
 * The total number of tasks and the number of open tasks in the project. In a project with hidden checks, the
 * server hides these numbers from annotators. In this case, `tasks` is null, and the page assumes one open
 * task.
 */
export function tasksOf({ counts }: Project): { tasks: number | null; open: number } {
  return { tasks: counts.tasks, open: counts.tasks === null ? 1 : (counts.open_tasks ?? 0) };
}

/** A paused member can see the project but none of its contents. */
const isActive = (project: Project, role: Project["role"]) =>
  project.role === role && project.member_state !== "paused";

/**
 * The user's permissions in a project. The server enforces them; the page only hides actions that the server
 * would refuse.
 */
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
  /** Admins and active managers of any project can create projects. */
  createProjects: (me: Me) =>
    me.is_admin || me.memberships.some(({ role, state }) => role === "manager" && state === "active"),
} as const;
