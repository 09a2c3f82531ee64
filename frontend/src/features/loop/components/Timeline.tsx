import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { metric } from "@/shared/format";
import { Badge, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { timelineQuery } from "../api/loops";
import { useTexts } from "../texts";
import { figuresOf, type Interval, marksOf, type RoundFigures, SERIES, type Series } from "../timeline";
import styles from "./timeline.module.css";
import { ROUND_TONES } from "./tones";

const HEIGHT = 220;
const TOP = 10;
const LEFT = 36;
const BOTTOM = 26;
/** The width of a round in the plot. With few rounds, the plot is not stretched to the width of the page. */
const ROUND_PX = 88;
const LEAST_ROUNDS = 6;
const SHARES = [0, 0.25, 0.5, 0.75, 1];

const down = (share: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);
const across = (x: number) => LEFT + (x + 0.5) * ROUND_PX;

/** The win rates and accuracies of all rounds in one plot, with a table of the same figures. */
export function Timeline({ slug, running }: { slug: string; running: boolean }) {
  const texts = useTexts();
  const found = useQuery(timelineQuery(slug, running));
  if (found.isError) return <ProblemNotice error={found.error} />;
  const rounds = figuresOf(found.data ?? []);
  if (rounds.every(({ accuracy, policies }) => !accuracy && policies.length === 0)) return null;
  return (
    <Panel title={texts.timeline} aside={<span className={ui.dim}>{texts.timelineAbout}</span>}>
      <Legend rounds={rounds} />
      <Plot rounds={rounds} />
      <details className={styles.figures}>
        <summary>{texts.asTable}</summary>
        <Figures slug={slug} rounds={rounds} />
      </details>
    </Panel>
  );
}

function Legend({ rounds }: { rounds: readonly RoundFigures[] }) {
  const { series: names } = useTexts();
  const marks = marksOf(rounds);
  return (
    <ul className={styles.legend} aria-hidden="true">
      {SERIES.filter((series) => marks.some((mark) => mark.series === series)).map((series) => (
        <li key={series}>
          <svg width="12" height="12" aria-hidden="true">
            <Dot series={series} x={6} y={6} />
          </svg>{" "}
          {names[series]}
        </li>
      ))}
    </ul>
  );
}

/** A series has its own colour and shape, so that it can be recognised without colour. */
function Dot({ series, x, y }: { series: Series; x: number; y: number }) {
  const shared = { className: styles[series], "data-series": series };
  if (series === "accuracy") return <rect {...shared} x={x - 4} y={y - 4} width={8} height={8} />;
  if (series === "gold")
    return <path {...shared} d={`M${x} ${y - 5}L${x + 5} ${y}L${x} ${y + 5}L${x - 5} ${y}Z`} />;
  return <circle {...shared} cx={x} cy={y} r={4.5} />;
}

function Plot({ rounds }: { rounds: readonly RoundFigures[] }) {
  const texts = useTexts();
  const width = LEFT + Math.max(rounds.length, LEAST_ROUNDS) * ROUND_PX;
  return (
    <section
      className={styles.scroll}
      aria-label={texts.plot}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide plot scrolls, and must be reachable by keyboard
      tabIndex={0}
    >
      <svg
        className={styles.plot}
        viewBox={`0 0 ${width} ${HEIGHT}`}
        style={{ width }}
        role="img"
        aria-label={texts.timelineOf(rounds.length)}
      >
        {SHARES.map((share) => (
          <g key={share}>
            <path
              className={share === 0.5 ? styles.even : styles.grid}
              d={`M${LEFT} ${down(share)}H${width}`}
            />
            <text className={styles.scale} x={LEFT - 6} y={down(share) + 4} textAnchor="end">
              {share}
            </text>
          </g>
        ))}
        {rounds.map(({ number, state }, index) => (
          <text
            key={number}
            className={styles.round}
            data-state={state}
            x={across(index)}
            y={HEIGHT - 8}
            textAnchor="middle"
          >
            {texts.round(number)}
          </text>
        ))}
        {marksOf(rounds).map(({ key, series, x, interval: { value, low, high } }) => (
          <g key={key}>
            {low !== null && high !== null && (
              <path className={styles[`${series}Line`]} d={`M${across(x)} ${down(low)}V${down(high)}`} />
            )}
            <Dot series={series} x={across(x)} y={down(value)} />
          </g>
        ))}
      </svg>
    </section>
  );
}

function shown(interval: Interval | null): string {
  if (!interval) return "–";
  const { value, low, high } = interval;
  return low === null || high === null
    ? metric(value)
    : `${value.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

function Figures({ slug, rounds }: { slug: string; rounds: readonly RoundFigures[] }) {
  const texts = useTexts();
  return (
    <TableScroll label={texts.timeline}>
      <thead>
        <tr>
          <th>{texts.roundColumn}</th>
          <th>{texts.resultColumn}</th>
          <th className={ui.number}>{texts.series.accuracy}</th>
          <th>{texts.newPolicy}</th>
          <th className={ui.number}>{texts.series.people}</th>
          <th className={ui.number}>{texts.series.rewardModel}</th>
          <th className={ui.number}>{texts.series.gold}</th>
        </tr>
      </thead>
      <tbody>
        {rounds.flatMap((round) =>
          (round.policies.length > 0 ? round.policies : [null]).map((policy, place) => (
            <tr key={`${round.id} ${policy?.model}`}>
              <th scope="row">
                {place === 0 && (
                  <Link to="/projects/$slug/rounds/$roundId" params={{ slug, roundId: round.id }}>
                    {round.number}
                  </Link>
                )}
              </th>
              <td>
                {place === 0 && <Badge tone={ROUND_TONES[round.state]}>{texts.states[round.state]}</Badge>}
              </td>
              <td className={ui.number}>{place === 0 && shown(round.accuracy)}</td>
              <td>{policy?.model ?? "–"}</td>
              <td className={ui.number}>{shown(policy?.people ?? null)}</td>
              <td className={ui.number}>{shown(policy?.rewardModel ?? null)}</td>
              <td className={ui.number}>{shown(policy?.gold ?? null)}</td>
            </tr>
          )),
        )}
      </tbody>
    </TableScroll>
  );
}
