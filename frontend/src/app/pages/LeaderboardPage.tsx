import { useParams } from "@tanstack/react-router";
import { Leaderboard } from "@/features/leaderboard/components/Leaderboard";
import { BoardBias } from "@/features/quality/components/BoardBias";

/** The leaderboard, with the bias figures from the quality page. */
export function LeaderboardPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/leaderboard" });
  return <Leaderboard bias={<BoardBias slug={slug} />} />;
}
