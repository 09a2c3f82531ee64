import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";

export const leaderboardQuery = (slug: string) =>
  queryOptions({
    queryKey: ["projects", slug, "leaderboard"],
    queryFn: () => unwrap(api.GET("/api/v1/projects/{slug}/leaderboard/", { params: { path: { slug } } })),
  });
