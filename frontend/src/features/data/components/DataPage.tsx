import { useParams } from "@tanstack/react-router";
import { Page } from "@/shared/ui";
import { useTexts } from "../texts";
import { ImportHistory } from "./ImportHistory";
import { ImportPanel } from "./ImportPanel";
import { SnapshotsPanel } from "./SnapshotsPanel";

export function DataPage() {
  const texts = useTexts();
  const { slug } = useParams({ from: "/shell/projects/$slug/data" });
  return (
    <Page title={texts.title} lead={texts.lead}>
      <ImportPanel key={slug} slug={slug} />
      <ImportHistory slug={slug} />
      <SnapshotsPanel slug={slug} />
    </Page>
  );
}
