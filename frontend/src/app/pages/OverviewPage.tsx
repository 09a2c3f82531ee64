import { useInfiniteQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { Overview } from "@/features/projects/components/Overview";
import { runsQuery } from "@/features/runs/api/runs";
import { ProblemsPanel } from "@/features/tasks/components/ProblemsPanel";
import { meQuery } from "@/shared/session";

/**
 * A project's overview, with the training runs (which only admins can start) and the problems that annotators
 * reported.
 */
export function OverviewPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/" });
  const { data: me } = useSuspenseQuery(meQuery);
  const { data } = useInfiniteQuery({ ...runsQuery(slug), enabled: me?.is_admin === true });
  const runs = data?.pages.flatMap((page) => page.results);
  return <Overview slug={slug} runs={runs} problems={<ProblemsPanel slug={slug} />} />;
}
