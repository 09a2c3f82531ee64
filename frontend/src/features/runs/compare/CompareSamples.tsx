import { metric } from "@/shared/format";
import { SampleTable } from "@/shared/samples/SampleTable";
import { Panel } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import type { RunFeed } from "../feed/feed";
import { useTexts } from "../texts";
import styles from "./compare.module.css";
import { type Column, sampleRows, stepsOf } from "./samples";

/**
 * The prompts answered by at least two of the runs. For each prompt, shows the first run's response before
 * training and each run's response after training.
 */
export function CompareSamples({ feeds, labels }: { feeds: readonly RunFeed[]; labels: readonly string[] }) {
  const texts = useTexts().compare;
  const sampled = feeds.flatMap((feed, index) => {
    const step = stepsOf(feed.samples).at(-1);
    return step === undefined ? [] : [{ label: labels[index] ?? "", step, samples: feed.samples }];
  });
  if (sampled.length < 2) return null;
  const after = sampled.map(
    ({ label, step, samples }): Column => ({
      key: label,
      title: texts.after(label, step),
      before: false,
      step,
      samples,
    }),
  );
  const shared = new Set(sampleRows(after, metric, 2).map((row) => row.key));
  const first = sampled[0];
  const start: Column[] = first
    ? [{ key: "before", title: texts.beforeOf(first.label), before: true, step: 0, samples: first.samples }]
    : [];
  const rows = sampleRows([...start, ...after], metric).filter((row) => shared.has(row.key));
  return (
    <Panel title={texts.samples} flush>
      {rows.length > 0 ? (
        <SampleTable rows={rows} />
      ) : (
        <p className={`${ui.dim} ${styles.same}`}>{texts.noSamples}</p>
      )}
    </Panel>
  );
}
