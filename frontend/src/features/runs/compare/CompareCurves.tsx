import { Button, Checkbox, NativeSelect } from "@mantine/core";
import { lazy, Suspense, useState } from "react";
import { figureName } from "@/shared/figures";
import { metric } from "@/shared/format";
import { Loading, Panel, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import chart from "../components/chart.module.css";
import type { RunFeed, Series } from "../feed/feed";
import { groupMetrics } from "../feed/groups";
import { useTexts } from "../texts";
import { letterOf, smooth, tableRows } from "./compare";
import styles from "./compare.module.css";

const Chart = lazy(() => import("../components/Chart").then((module) => ({ default: module.Chart })));
const NOTHING: Series = { steps: [], values: [] };
const ROWS_SHOWN = 12;
/** Weights of the moving average: "light" averages over about 2.5 points, and "strong" over about 10 points. */
const SMOOTHING = { none: 0, light: 0.6, strong: 0.9 };

/**
 * One chart per metric, with a line for each run that reports the metric. Users can switch to tables
 * of the same numbers.
 */
export function CompareCurves({ feeds, labels }: { feeds: readonly RunFeed[]; labels: readonly string[] }) {
  const texts = useTexts().compare;
  const [smoothing, setSmoothing] = useState<keyof typeof SMOOTHING>("none");
  const [asTables, setAsTables] = useState(false);
  const [details, setDetails] = useState(false);
  const groups = groupMetrics([...new Set(feeds.flatMap((feed) => Object.keys(feed.series)))]);
  const shown = groups.filter((group) => details || !group.detail).flatMap((group) => group.names);
  const hidden = groups.filter((group) => group.detail).flatMap((group) => group.names).length;
  if (groups.length === 0) return <p className={ui.dim}>{texts.noCurves}</p>;

  return (
    <section aria-label={texts.curves} className={ui.stack}>
      <div className={styles.controls}>
        <NativeSelect
          label={texts.smoothing}
          value={smoothing}
          data={[
            { value: "none", label: texts.none },
            { value: "light", label: texts.light },
            { value: "strong", label: texts.strong },
          ]}
          onChange={(event) => setSmoothing(event.currentTarget.value as keyof typeof SMOOTHING)}
        />
        <Checkbox
          label={texts.showTables}
          checked={asTables}
          onChange={(event) => setAsTables(event.currentTarget.checked)}
        />
      </div>
      <Suspense fallback={<Loading label={texts.loading} />}>
        <div className={chart.grid}>
          {shown.map((name) => {
            const series = feeds.map((feed) => smooth(feed.series[name] ?? NOTHING, SMOOTHING[smoothing]));
            return asTables ? (
              <SeriesTable key={name} name={figureName(name)} labels={labels} series={series} />
            ) : (
              <Chart key={name} title={figureName(name)} names={labels} series={series} />
            );
          })}
        </div>
      </Suspense>
      {hidden > 0 && (
        <div>
          <Button size="compact-sm" variant="subtle" color="gray" onClick={() => setDetails(!details)}>
            {details ? texts.fewer : texts.more(hidden)}
          </Button>
        </div>
      )}
    </section>
  );
}

function SeriesTable({
  name,
  labels,
  series,
}: {
  name: string;
  labels: readonly string[];
  series: readonly Series[];
}) {
  const texts = useTexts().compare;
  return (
    <Panel title={name} flush>
      <TableScroll label={name}>
        <thead>
          <tr>
            <th className={ui.number}>{texts.step}</th>
            {labels.map((label) => (
              <th key={label} className={ui.number}>
                <abbr title={label}>{letterOf(label)}</abbr>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {tableRows(series, ROWS_SHOWN).map((row) => (
            <tr key={row.step}>
              <td className={ui.number}>{row.step}</td>
              {row.values.map((value, index) => (
                <td key={labels[index]} className={ui.number}>
                  {value === undefined ? "–" : metric(value)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </TableScroll>
    </Panel>
  );
}
