import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { ExportFormat, Run, Selection, Snapshot } from "@/api/types";

export const snapshotsQuery = (slug: string) =>
  queryOptions({
    queryKey: ["snapshots", slug],
    queryFn: async (): Promise<Snapshot[]> =>
      (await unwrap(api.GET("/api/v1/projects/{slug}/snapshots/", { params: { path: { slug } } }))).results,
  });

type NewSnapshot = { name: string; license: string; selection: Selection };

export async function freezeSnapshot(slug: string, body: NewSnapshot): Promise<Snapshot> {
  return unwrap(api.POST("/api/v1/projects/{slug}/snapshots/", { params: { path: { slug } }, body }));
}

/**
 * Runs that used the snapshot for training, newest first. Each run's result contains the name of the model
 * that the run created.
 */
export const lineageQuery = (slug: string, snapshot: string) =>
  queryOptions({
    queryKey: ["snapshots", slug, "lineage", snapshot],
    queryFn: async (): Promise<Run[]> =>
      (await unwrap(api.GET("/api/v1/runs/", { params: { query: { project: slug, snapshot } } }))).results,
  });

/** The list of formats changes only with a new server release. */
export const formatsQuery = queryOptions({
  queryKey: ["formats"],
  queryFn: async () => unwrap(api.GET("/api/v1/formats/")),
  staleTime: Number.POSITIVE_INFINITY,
});

export function exportUrl(snapshot: Snapshot, format: ExportFormat): string {
  return `/api/v1/snapshots/${snapshot.id}/export?format=${format.name}`;
}

/**
 * The name of the downloaded file. This name must match the name on the server (`export_name`). Otherwise, the
 * loading code would not find the file.
 */
export function fileName(snapshot: Snapshot, format: ExportFormat): string {
  const stem = `${snapshot.project}-${snapshot.name}-${format.name}`.replaceAll(/[^\w.-]+/g, "-");
  return `${stem.replaceAll(/^[-.]+|[-.]+$/g, "")}${format.suffix}`;
}

/**
 * Two lines of Python: `loads` loads the downloaded file, and `trains` trains on it. The server provides these
 * lines, and its tests run them. A line is null if the server provides none for the format.
 */
export function linesOf(
  snapshot: Snapshot,
  format: ExportFormat,
): { loads: string | null; trains: string | null } {
  const filled = (line: string) => (line ? line.replace("FILE", fileName(snapshot, format)) : null);
  return { loads: filled(format.loads_with), trains: filled(format.trains_with) };
}
