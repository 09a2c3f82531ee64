import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { ExportFormat, ImportReport, Selection, Snapshot } from "@/api/types";

export const snapshotsQuery = (slug: string) =>
  queryOptions({
    queryKey: ["snapshots", slug],
    queryFn: async (): Promise<Snapshot[]> =>
      (await unwrap(api.GET("/api/v1/projects/{slug}/snapshots/", { params: { path: { slug } } }))).results,
  });

export type NewSnapshot = { name: string; license: string; selection: Selection };

export async function freezeSnapshot(slug: string, body: NewSnapshot): Promise<Snapshot> {
  return unwrap(api.POST("/api/v1/projects/{slug}/snapshots/", { params: { path: { slug } }, body }));
}

export async function importFile(slug: string, file: File, dryRun: boolean): Promise<ImportReport> {
  return unwrap(
    api.POST("/api/v1/projects/{slug}/imports/", {
      params: { path: { slug } },
      // The generated body says "file: string", as OpenAPI writes binary; what is sent is the form itself.
      body: { file: "", dry_run: dryRun },
      bodySerializer: () => {
        const form = new FormData();
        form.set("file", file, file.name);
        form.set("dry_run", String(dryRun));
        return form;
      },
    }),
  );
}

/** Nothing of it changes while the server runs. */
export const formatsQuery = queryOptions({
  queryKey: ["formats"],
  queryFn: async () => unwrap(api.GET("/api/v1/formats/")),
  staleTime: Number.POSITIVE_INFINITY,
});

export function exportUrl(snapshot: Snapshot, format: ExportFormat): string {
  return `/api/v1/snapshots/${snapshot.id}/export?format=${format.name}`;
}

/** As the server names the download (annotation.services.exports.export_name), so that the line below finds the file. */
export function fileName(snapshot: Snapshot, format: ExportFormat): string {
  const stem = `${snapshot.project}-${snapshot.name}-${format.name}`.replaceAll(/[^\w.-]+/g, "-");
  return `${stem.replaceAll(/^[-.]+|[-.]+$/g, "")}${format.suffix}`;
}

/** What to type in Python to have the downloaded file as a dataset; null where it loads no such file. */
export function datasetsLine(snapshot: Snapshot, format: ExportFormat): string | null {
  if (!format.loader) return null;
  return `datasets.load_dataset("${format.loader}", data_files="${fileName(snapshot, format)}", split="train")`;
}
