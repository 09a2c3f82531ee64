import { useInfiniteQuery, useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { loopQuery } from "@/features/loop/api/loops";
import { Overview } from "@/features/projects/components/Overview";
import { runsQuery } from "@/features/runs/api/runs";
import { ProblemsPanel } from "@/features/tasks/components/ProblemsPanel";
import { meQuery } from "@/shared/session";

/**
 * A project's overview, with the training runs and the loop (which only admins can start) and the problems that annotators
 * reported.
 */
export function OverviewPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/" });
  const { data: me } = useSuspenseQuery(meQuery);
  const { data } = useInfiniteQuery({ ...runsQuery(slug), enabled: me?.is_admin === true });
  const loop = useQuery({ ...loopQuery(slug), enabled: me?.is_admin === true });
  const runs = data?.pages.flatMap((page) => page.results);
  // If the loop can't be loaded, the page shows the steps without a loop.
  const known = loop.isError ? null : loop.data;
  return <Overview slug={slug} runs={runs} loop={known} problems={<ProblemsPanel slug={slug} />} />;
}
