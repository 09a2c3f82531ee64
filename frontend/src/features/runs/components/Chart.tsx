import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { metric } from "@/shared/format";
import { plotIn } from "@/shared/plot";
import type { Series } from "../feed/feed";
import styles from "./chart.module.css";

/**
 * Hues that people with common colour vision deficiencies can distinguish. Each hue has its own dash pattern,
 * so that lines never differ by colour alone.
 */
const INKS = {
  light: ["#0b6a6f", "#c05621", "#5a5fc7", "#9b2f74", "#55701a", "#7d6200"],
  dark: ["#56b5b3", "#f09a61", "#a0a4f3", "#e184bd", "#aecb6b", "#dcbf55"],
};
const DASHES = [[], [7, 4], [2, 3], [12, 4], [7, 3, 2, 3], [12, 3, 2, 3, 2, 3]];
const HEIGHT_PX = 190;
/**
 * A series with fewer than `DOTTED_BELOW` values is drawn with points, because a line cannot show a single
 * value. Occasional evaluations, for example, yield few values.
 */
const DOTTED_BELOW = 25;
const SYNC = uPlot.sync("run");
/** The possible distances between the ticks of an axis that counts steps: 1, 2, 5, 10, 20, and so on. */
const WHOLE_STEPS = [...Array(9).keys()].flatMap((power) => [1, 2, 5].map((digit) => digit * 10 ** power));

function inkOf(scheme: "light" | "dark", index: number): string {
  return INKS[scheme][index % INKS[scheme].length] ?? INKS[scheme][0] ?? "#000";
}

/** A short sample of a chart's line, with its colour and dash pattern. */
export function LineSample({ index }: { index: number }) {
  const scheme = useComputedColorScheme("light");
  return (
    <svg width="30" height="8" aria-hidden="true">
      <line
        x1="0"
        x2="30"
        y1="4"
        y2="4"
        stroke={inkOf(scheme, index)}
        strokeWidth="2"
        strokeDasharray={(DASHES[index % DASHES.length] ?? []).join(" ")}
      />
    </svg>
  );
}

/** The range of the y axis. A constant series is drawn in the middle. */
function rangeOf(_plot: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null) return [null, null];
  if (low < high) return uPlot.rangeNum(low, high, 0.1, true);
  const around = Math.abs(low) / 10 || 1;
  return [low - around, low + around];
}

/** The series as columns for one chart, joined by step. A series has a gap at each step for which it has no value. */
function align(series: readonly Series[]): uPlot.AlignedData {
  const steps = [...new Set(series.flatMap((one) => one.steps))].sort((a, b) => a - b);
  const columns = series.map((one) => {
    const at = new Map(one.steps.map((step, index) => [step, one.values[index]]));
    return steps.map((step) => at.get(step));
  });
  return [steps, ...columns] as uPlot.AlignedData;
}

export function Chart({
  title,
  names,
  series,
  synced = true,
}: {
  title: string;
  names: readonly string[];
  series: readonly Series[];
  /** Whether the cursor moves in sync with the cursors of the page's other charts, which share the x axis. */
  synced?: boolean;
}) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const scheme = useComputedColorScheme("light");
  const data = align(series);
  const latestData = useRef(data);
  latestData.current = data;
  const counts = useRef<number[]>([]);
  counts.current = series.map((one) => one.values.length);
  const key = names.join("\n");

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const drawn = plotIn(
      element,
      {
        height: HEIGHT_PX,
        padding: [8, 8, 0, 0],
        cursor: {
          ...(synced && { sync: { key: SYNC.key } }),
          points: { size: 6 },
          y: false,
          drag: { x: true, y: false },
        },
        scales: { x: { time: false }, y: { range: rangeOf } },
        axes: [
          synced ? { incrs: WHOLE_STEPS } : {},
          { values: (_plot, ticks) => ticks.map((tick) => metric(Number(tick.toPrecision(6)))) },
        ],
        series: [
          {},
          ...key.split("\n").map((name, index) => ({
            label: name,
            stroke: inkOf(scheme, index),
            width: 1.75,
            dash: DASHES[index % DASHES.length] ?? [],
            spanGaps: true,
            points: {
              show: (_plot: uPlot, which: number) => (counts.current[which - 1] ?? 0) < DOTTED_BELOW,
              size: 5,
            },
          })),
        ],
      },
      latestData.current,
    );
    plot.current = drawn.plot;
    return () => {
      drawn.remove();
      plot.current = null;
    };
  }, [key, scheme, synced]);

  const points = data[0].length;
  const lastValues = series.map((one) => one.values.at(-1));
  // biome-ignore lint/correctness/useExhaustiveDependencies: every render creates new column arrays; the dependencies detect real changes
  useEffect(() => {
    plot.current?.setData(latestData.current);
  }, [points, lastValues.join(" ")]);

  return (
    <figure className={styles.chart} aria-label={title}>
      <figcaption className={styles.caption}>
        <span className={styles.title}>{title}</span>
        <ul className={styles.legend}>
          {names.map((name, index) => (
            <li key={name}>
              <LineSample index={index} />
              {(names.length > 1 || name !== title) && <span>{name}</span>}
              <b>{lastValues[index] === undefined ? "" : metric(lastValues[index])}</b>
            </li>
          ))}
        </ul>
      </figcaption>
      <div ref={host} className={styles.plot} />
    </figure>
  );
}
