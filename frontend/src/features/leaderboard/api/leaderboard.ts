import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { BoardSearch } from "../search";

export const leaderboardQuery = (slug: string, { method, by, key }: BoardSearch) =>
  queryOptions({
    queryKey: ["projects", slug, "leaderboard", { method, by, key }],
    queryFn: () =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/leaderboard/", {
          params: {
            path: { slug },
            query: {
              ...(method && { method }),
              // Metadata slices are requested only after the user has entered a key.
              ...(by && (by !== "metadata" || key) && { by }),
              ...(by === "metadata" && key && { key }),
            },
          },
        }),
      ),
    // The previous board stays visible while another slice is computed.
    placeholderData: (former) => former,
  });
