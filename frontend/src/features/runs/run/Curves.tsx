import { Button } from "@mantine/core";
import { lazy, Suspense, useState } from "react";
import { figureName } from "@/shared/figures";
import { metric } from "@/shared/format";
import { Loading, Stats } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import chart from "../components/chart.module.css";
import type { RunFeed } from "../feed/feed";
import { curvesAndValues, groupMetrics } from "../feed/groups";
import { useTexts } from "../texts";

const Chart = lazy(() => import("../components/Chart").then((module) => ({ default: module.Chart })));
const FEW_CURVES = 3;

/**
 * The run's metrics over its steps. `resultShown`: whether the page already shows the run's result, which contains
 * the metrics that were reported only once.
 */
export function Curves({ feed, resultShown }: { feed: RunFeed; resultShown: boolean }) {
  const texts = useTexts().run;
  const [wanted, setWanted] = useState<boolean | null>(null);
  const { curves: groups, values } = curvesAndValues(groupMetrics(Object.keys(feed.series)), feed.series);
  const hidden = groups.filter((group) => group.detail).length;
  // If a run has only one or two main charts, there is enough space to show all charts at once.
  const details = wanted ?? groups.length - hidden < FEW_CURVES;
  const numbers = resultShown ? [] : values;
  if (groups.length + numbers.length === 0) return null;
  return (
    <section aria-label={texts.curves} className={ui.stack}>
      {numbers.length > 0 && (
        <Stats
          items={numbers.map(({ name, value }) => ({ label: figureName(name), value: metric(value) }))}
        />
      )}
      <Suspense fallback={<Loading label={texts.loadingCharts} />}>
        <div className={chart.grid}>
          {groups
            .filter((group) => details || !group.detail)
            .map((group) => (
              <Chart
                key={group.title}
                title={group.title}
                names={group.names.map(figureName)}
                series={group.names.map((name) => feed.series[name] ?? { steps: [], values: [] })}
              />
            ))}
        </div>
      </Suspense>
      {hidden > 0 && (
        <div>
          <Button size="compact-sm" variant="subtle" color="gray" onClick={() => setWanted(!details)}>
            {details ? texts.fewer : texts.more(hidden)}
          </Button>
        </div>
      )}
    </section>
  );
}
