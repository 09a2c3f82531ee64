import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import type { Quality } from "@/api/types";
import { count, percent } from "@/shared/format";
import { ink, plotIn } from "@/shared/plot";
import { Panel } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { useTexts } from "../texts";
import styles from "./quality.module.css";

const HEIGHT_PX = 180;
const DAY_S = 86_400;
/** Ticks are placed on whole days, because there are no values between days. */
const STEPS = [1, 2, 7, 14, 28, 91, 182, 364].map((days) => days * DAY_S);
const dayOf = (seconds: number) => new Date(seconds * 1000).toISOString().slice(5, 10);

type Days = Quality["per_day"];

function Line({ days }: { days: Days }) {
  const t = useTexts();
  const host = useRef<HTMLDivElement>(null);
  const scheme = useComputedColorScheme("light");
  // biome-ignore lint/correctness/useExhaustiveDependencies: the line colours depend on the colour scheme
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    return plotIn(
      element,
      {
        height: HEIGHT_PX,
        padding: [8, 24, 0, 0],
        cursor: { y: false, points: { size: 6 } },
        scales: { x: { time: true }, y: { range: [0, 1] } },
        axes: [
          { space: 56, incrs: STEPS, values: (_plot, ticks) => ticks.map(dayOf) },
          { values: (_plot, ticks) => ticks.map((tick) => percent(tick)) },
        ],
        series: [
          {},
          { label: t.overTime.series, stroke: ink("--accent"), width: 1.75, points: { show: true, size: 5 } },
        ],
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
      },
      [days.map((day) => Date.parse(`${day.date}T00:00:00Z`) / 1000), days.map((day) => day.agreement)],
    ).remove;
  }, [days, scheme]);
  // The table below the plot contains the same values as text.
  return <div ref={host} className={styles.plot} aria-hidden="true" />;
}

export function AgreementOverTime({ days }: { days: Days }) {
  const t = useTexts();
  if (days.length === 0) return null;
  return (
    <Panel title={t.overTime.title}>
      <div className={ui.stack}>
        <p className={ui.dim}>
          {t.overTime.lead} {days.length === 1 && t.overTime.few}
        </p>
        {days.length > 1 && <Line days={days} />}
        <details className={styles.figuresOfDays} open={days.length === 1}>
          <summary>{t.overTime.table}</summary>
          <table className={ui.table}>
            <thead>
              <tr>
                <th>{t.overTime.day}</th>
                <th className={ui.number}>{t.overTime.agreement}</th>
                <th className={ui.number}>{t.overTime.pairs}</th>
              </tr>
            </thead>
            <tbody>
              {days.map((day) => (
                <tr key={day.date}>
                  <td>{day.date}</td>
                  <td className={ui.number}>{percent(day.agreement)}</td>
                  <td className={ui.number}>{count(day.n_pairs)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </details>
      </div>
    </Panel>
  );
}
