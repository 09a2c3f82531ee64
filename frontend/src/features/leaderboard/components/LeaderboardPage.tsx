import { useParams } from "@tanstack/react-router";
import { Page } from "@/shared/ui";
import { LeaderboardPanel } from "./LeaderboardPanel";

export function LeaderboardPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/leaderboard" });
  return (
    <Page title="Leaderboard" lead="Which model people prefer, by how much, and how sure that is.">
      <LeaderboardPanel slug={slug} />
    </Page>
  );
}
