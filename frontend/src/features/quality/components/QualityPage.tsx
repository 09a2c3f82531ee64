import { useParams } from "@tanstack/react-router";
import { Page } from "@/shared/ui";
import { AnnotatorsPanel } from "./AnnotatorsPanel";

export function QualityPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/quality" });
  return (
    <Page title="Quality" lead="Whether people agree, how reliable each of them is, and what sways them.">
      <AnnotatorsPanel slug={slug} />
    </Page>
  );
}
