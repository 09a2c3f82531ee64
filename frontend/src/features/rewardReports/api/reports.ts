import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { Model, ModelReport, RewardComparison } from "@/api/types";

export const modelQuery = (id: string) =>
  queryOptions({
    queryKey: ["model", id],
    queryFn: (): Promise<Model> =>
      unwrap(api.GET("/api/v1/models/{model_id}/", { params: { path: { model_id: id } } })),
  });

export const modelReportQuery = (id: string) =>
  queryOptions({
    queryKey: ["model", id, "report"],
    queryFn: (): Promise<ModelReport> =>
      unwrap(api.GET("/api/v1/models/{model_id}/report", { params: { path: { model_id: id } } })),
  });

/** Reports are computed when a model is created, so a comparison of two reports never changes. */
export const comparisonQuery = (id: string, other: string) =>
  queryOptions({
    queryKey: ["model", id, "comparison", other],
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
    queryFn: (): Promise<RewardComparison> =>
      unwrap(
        api.GET("/api/v1/models/{model_id}/comparison", {
          params: { path: { model_id: id }, query: { other } },
        }),
      ),
  });
