import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";

export const qualityQuery = (slug: string) =>
  queryOptions({
    queryKey: ["projects", slug, "quality"],
    queryFn: () => unwrap(api.GET("/api/v1/projects/{slug}/quality/", { params: { path: { slug } } })),
  });
