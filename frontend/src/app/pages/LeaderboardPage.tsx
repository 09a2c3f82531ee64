import { useParams } from "@tanstack/react-router";
import { Leaderboard } from "@/features/leaderboard/components/Leaderboard";
import { BoardBias } from "@/features/quality/components/BoardBias";

/** The leaderboard, with the biases that the quality page measures. */
export function LeaderboardPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/leaderboard" });
  return <Leaderboard bias={<BoardBias slug={slug} />} />;
}
