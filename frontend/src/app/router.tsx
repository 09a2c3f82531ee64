import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { onSessionEnded } from "@/api/client";
import { loginSearch } from "@/features/auth/search";
import { boardSearch } from "@/features/leaderboard/search";
import { compareSearch, newRunSearch, runsSearch } from "@/features/runs/search";
import { tasksSearch } from "@/features/tasks/search";
import { meQuery, projectQuery } from "@/shared/session";
import { queryClient } from "./queries";
import { RouteError, RouteNotFound, RoutePending } from "./RouteStates";
import { Shell } from "./Shell";

const rootRoute = createRootRouteWithContext<{ queryClient: QueryClient }>()({
  component: Outlet,
  notFoundComponent: RouteNotFound,
});

const loginRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/login",
  validateSearch: loginSearch,
  component: lazyRouteComponent(() => import("@/features/auth/components/LoginPage"), "LoginPage"),
});

const resetRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/reset",
  component: lazyRouteComponent(() => import("@/features/auth/components/ResetPage"), "ResetPage"),
});

const joinRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/join",
  component: lazyRouteComponent(() => import("@/features/joining/components/JoinPage"), "JoinPage"),
});

const shellRoute = createRoute({
  getParentRoute: () => rootRoute,
  id: "shell",
  component: Shell,
  beforeLoad: async ({ context, location }) => {
    const me = await context.queryClient.ensureQueryData(meQuery);
    if (!me) throw redirect({ to: "/login", search: { next: location.href } });
    return { me };
  },
});

const projectsRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/",
  component: lazyRouteComponent(() => import("@/features/projects/components/ProjectsPage"), "ProjectsPage"),
});

const newProjectRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/new-project",
  component: lazyRouteComponent(
    () => import("@/features/projects/components/NewProjectPage"),
    "NewProjectPage",
  ),
});

const queueRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/queue",
  component: lazyRouteComponent(() => import("@/features/queue/components/QueuePage"), "QueuePage"),
});

const accountRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/account",
  component: lazyRouteComponent(() => import("@/features/account/components/AccountPage"), "AccountPage"),
});

const projectRoute = createRoute({
  getParentRoute: () => shellRoute,
  path: "/projects/$slug",
  loader: ({ context, params }) => context.queryClient.ensureQueryData(projectQuery(params.slug)),
});

const overviewRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/",
  component: lazyRouteComponent(() => import("./pages/OverviewPage"), "OverviewPage"),
});
const rankRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/rank",
  component: lazyRouteComponent(() => import("@/features/desk/components/DeskPage"), "DeskPage"),
});
const reviewRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/review",
  component: lazyRouteComponent(() => import("@/features/review/components/ReviewPage"), "ReviewPage"),
});
const qualityRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/quality",
  component: lazyRouteComponent(() => import("@/features/quality/components/QualityPage"), "QualityPage"),
});
const leaderboardRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/leaderboard",
  validateSearch: boardSearch,
  component: lazyRouteComponent(() => import("./pages/LeaderboardPage"), "LeaderboardPage"),
});
const tasksRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/tasks",
  validateSearch: tasksSearch,
  component: lazyRouteComponent(() => import("@/features/tasks/components/TasksPage"), "TasksPage"),
});
const taskRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/tasks/$taskId",
  component: lazyRouteComponent(() => import("./pages/TaskPage"), "TaskPage"),
});
const dataRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/data",
  component: lazyRouteComponent(() => import("@/features/data/components/DataPage"), "DataPage"),
});
const runsRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/runs",
  validateSearch: runsSearch,
  component: lazyRouteComponent(() => import("@/features/runs/components/RunsPage"), "RunsPage"),
});
const newRunRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/runs/new",
  validateSearch: newRunSearch,
  component: lazyRouteComponent(() => import("@/features/runs/launch/NewRunPage"), "NewRunPage"),
});
const compareRunsRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/runs/compare",
  validateSearch: compareSearch,
  component: lazyRouteComponent(() => import("@/features/runs/compare/ComparePage"), "ComparePage"),
});
const runRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/runs/$runId",
  component: lazyRouteComponent(() => import("@/features/runs/run/RunPage"), "RunPage"),
});
const modelsRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/models",
  component: lazyRouteComponent(() => import("@/features/models/components/ModelsPage"), "ModelsPage"),
});
const modelRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/models/$modelId",
  component: lazyRouteComponent(() => import("./pages/ModelPage"), "ModelPage"),
});
const loopRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/loop",
  component: lazyRouteComponent(() => import("@/features/loop/components/LoopPage"), "LoopPage"),
});
const roundRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/rounds/$roundId",
  component: lazyRouteComponent(() => import("@/features/loop/components/RoundPage"), "RoundPage"),
});
const membersRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/members",
  component: lazyRouteComponent(() => import("@/features/members/components/MembersPage"), "MembersPage"),
});
const startRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/start",
  component: lazyRouteComponent(() => import("@/features/projects/components/StartPage"), "StartPage"),
});
const settingsRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/settings",
  component: lazyRouteComponent(() => import("@/features/settings/components/SettingsPage"), "SettingsPage"),
});
const formRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/settings/form",
  component: lazyRouteComponent(() => import("@/features/forms/components/FormPage"), "FormPage"),
});
const checksRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/settings/checks",
  component: lazyRouteComponent(() => import("@/features/checks/components/ChecksPage"), "ChecksPage"),
});
const webhooksRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/settings/webhooks",
  component: lazyRouteComponent(() => import("@/features/webhooks/components/WebhooksPage"), "WebhooksPage"),
});
const auditRoute = createRoute({
  getParentRoute: () => projectRoute,
  path: "/settings/audit",
  component: lazyRouteComponent(() => import("@/features/audit/components/AuditPage"), "AuditPage"),
});

export const router = createRouter({
  routeTree: rootRoute.addChildren([
    loginRoute,
    resetRoute,
    joinRoute,
    shellRoute.addChildren([
      projectsRoute,
      newProjectRoute,
      queueRoute,
      accountRoute,
      projectRoute.addChildren([
        overviewRoute,
        rankRoute,
        reviewRoute,
        tasksRoute,
        taskRoute,
        qualityRoute,
        leaderboardRoute,
        dataRoute,
        runsRoute,
        newRunRoute,
        compareRunsRoute,
        runRoute,
        modelsRoute,
        modelRoute,
        loopRoute,
        roundRoute,
        membersRoute,
        startRoute,
        settingsRoute,
        formRoute,
        checksRoute,
        webhooksRoute,
        auditRoute,
      ]),
    ]),
  ]),
  context: { queryClient },
  defaultPreload: "intent",
  // The router must not cache data, because TanStack Query already does so.
  defaultPreloadStaleTime: 0,
  defaultErrorComponent: RouteError,
  defaultPendingComponent: RoutePending,
  scrollRestoration: true,
});

// If a navigation removes the focused element, such as the login button, the focus moves to the new page's
// heading instead of the top of the document. On the desk, the first response receives the focus instead of
// the heading.
router.subscribe("onRendered", ({ fromLocation, pathChanged }) => {
  if (!fromLocation || !pathChanged || document.activeElement !== document.body) return;
  const heading = document.querySelector<HTMLElement>("main h1:not(.visually-hidden)");
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
});

onSessionEnded(() => {
  queryClient.setQueryData(meQuery.queryKey, null);
  const { pathname, href } = router.state.location;
  if (pathname !== "/login") void router.navigate({ to: "/login", search: { next: href, ended: true } });
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
