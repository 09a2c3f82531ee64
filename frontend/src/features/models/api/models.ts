import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { JudgedPolicy, Lineage, Model, ModelHistory } from "@/api/types";

export const modelsQuery = (project: string) =>
  queryOptions({
    queryKey: ["models", project],
    queryFn: async (): Promise<Model[]> =>
      (await unwrap(api.GET("/api/v1/models/", { params: { query: { project } } }))).results,
  });

/** Policies ordered by their newest evaluation, each with its gain over its parent. */
export const judgedQuery = (project: string) =>
  queryOptions({
    queryKey: ["models", project, "judged"],
    queryFn: async (): Promise<JudgedPolicy[]> =>
      (await unwrap(api.GET("/api/v1/models/judged/", { params: { query: { project } } }))).policies,
  });

export const lineageQuery = (id: string) =>
  queryOptions({
    queryKey: ["model", id, "lineage"],
    queryFn: (): Promise<Lineage> =>
      unwrap(api.GET("/api/v1/models/{model_id}/lineage", { params: { path: { model_id: id } } })),
  });

/** The changes of the model's stage, newest first. */
export const historyQuery = (id: string) =>
  queryOptions({
    queryKey: ["model", id, "history"],
    queryFn: (): Promise<ModelHistory> =>
      unwrap(api.GET("/api/v1/models/{model_id}/history", { params: { path: { model_id: id } } })),
  });

export const cardQuery = (id: string) =>
  queryOptions({
    queryKey: ["model", id, "card"],
    queryFn: async (): Promise<string> =>
      (await unwrap(api.GET("/api/v1/models/{model_id}/card", { params: { path: { model_id: id } } }))).card,
  });

export async function promoteModel(id: string, reason: string): Promise<Model> {
  return unwrap(
    api.POST("/api/v1/models/{model_id}/promote", { params: { path: { model_id: id } }, body: { reason } }),
  );
}

/**
 * Takes the model out of production. With `rollBack`, the model that was in production before is promoted.
 */
export async function demoteModel(id: string, reason: string, rollBack: boolean): Promise<Model> {
  return unwrap(
    api.POST("/api/v1/models/{model_id}/demote", {
      params: { path: { model_id: id } },
      body: { reason, roll_back: rollBack },
    }),
  );
}

export async function archiveModel(id: string): Promise<Model> {
  return unwrap(api.POST("/api/v1/models/{model_id}/archive", { params: { path: { model_id: id } } }));
}
