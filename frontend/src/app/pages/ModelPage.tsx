import { ModelPanels } from "@/features/models/components/ModelPanels";
import { ModelPage as ReportPage } from "@/features/rewardReports/components/ModelPage";

/** The page of one model: the report of a reward model, then the model's lineage, history and card. */
export function ModelPage() {
  return <ReportPage panels={(model, slug) => <ModelPanels model={model} slug={slug} />} />;
}
