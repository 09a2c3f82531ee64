import { lazy, Suspense } from "react";
import { Loading, Panel } from "@/shared/ui";
import type { BestOf } from "../feed/bestOf";
import { useTexts } from "../texts";

const Chart = lazy(() => import("../components/Chart").then((module) => ({ default: module.Chart })));

/** The expected rewards of the best of n answers, plotted against the bound on the KL divergence. */
export function BestOfCurve({ curve }: { curve: BestOf }) {
  const texts = useTexts();
  const lines = [
    { name: texts.bestOf.reward, series: curve.reward },
    ...(curve.gold ? [{ name: texts.bestOf.gold, series: curve.gold }] : []),
  ];
  return (
    <Panel title={texts.bestOf.title(curve.most)}>
      <p>{texts.bestOf.axis}</p>
      <Suspense fallback={<Loading label={texts.run.loadingCharts} />}>
        <Chart
          title={texts.bestOf.chart}
          names={lines.map(({ name }) => name)}
          series={lines.map(({ series }) => series)}
          synced={false}
        />
      </Suspense>
    </Panel>
  );
}
