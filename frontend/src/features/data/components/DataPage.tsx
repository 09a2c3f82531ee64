import { useParams } from "@tanstack/react-router";
import { Page } from "@/shared/ui";
import { ImportPanel } from "./ImportPanel";
import { SnapshotsPanel } from "./SnapshotsPanel";

export function DataPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/data" });
  return (
    <Page title="Data" lead="What comes in to be ranked, and what goes out to be learned from.">
      <ImportPanel slug={slug} />
      <SnapshotsPanel slug={slug} />
    </Page>
  );
}
