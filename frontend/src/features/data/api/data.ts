import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { ImportReport, Snapshot } from "@/api/types";

export const snapshotsQuery = (slug: string) =>
  queryOptions({
    queryKey: ["snapshots", slug],
    queryFn: async (): Promise<Snapshot[]> =>
      (await unwrap(api.GET("/api/v1/projects/{slug}/snapshots/", { params: { path: { slug } } }))).results,
  });

export async function freezeSnapshot(slug: string, name: string): Promise<Snapshot> {
  return unwrap(
    api.POST("/api/v1/projects/{slug}/snapshots/", { params: { path: { slug } }, body: { name } }),
  );
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

export type ExportFormat = {
  name: string;
  label: string;
  use: string;
  extension: string;
  loader: "json" | "parquet";
};

export const EXPORT_FORMATS: readonly ExportFormat[] = [
  {
    name: "trl_preference",
    label: "TRL preference, JSONL",
    use: "Pairs chosen over rejected, for reward-model and DPO trainers.",
    extension: "jsonl",
    loader: "json",
  },
  {
    name: "trl_preference_parquet",
    label: "TRL preference, Parquet",
    use: "The same pairs, smaller and faster to load.",
    extension: "parquet",
    loader: "parquet",
  },
  {
    name: "ranking",
    label: "Rankings, JSONL",
    use: "Whole rankings with ties, strength, ratings and the order shown.",
    extension: "jsonl",
    loader: "json",
  },
  {
    name: "parquet",
    label: "Rankings, Parquet",
    use: "The snapshot itself: what training reads, to the byte.",
    extension: "parquet",
    loader: "parquet",
  },
];

export function exportUrl(snapshot: Snapshot, format: ExportFormat): string {
  return `/api/v1/snapshots/${snapshot.id}/export?format=${format.name}`;
}

/** As the server names the download (annotation.services.exports.export_name), so that the line below finds the file. */
export function fileName(snapshot: Snapshot, format: ExportFormat): string {
  const stem = `${snapshot.project}-${snapshot.name}-${format.name}`.replaceAll(/[^\w.-]+/g, "-");
  return `${stem.replaceAll(/^[-.]+|[-.]+$/g, "")}.${format.extension}`;
}

/** What to type in Python to have the downloaded file as a dataset. */
export function datasetsLine(snapshot: Snapshot, format: ExportFormat): string {
  return `datasets.load_dataset("${format.loader}", data_files="${fileName(snapshot, format)}", split="train")`;
}
