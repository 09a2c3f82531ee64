import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Run } from "@/api/types";
import { figureName, tellingFirst } from "@/shared/figures";
import { ago, duration, metric } from "@/shared/format";
import { kindTitle } from "@/shared/kinds";
import { Panel, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { LineSample } from "../components/Chart";
import { settingText } from "../components/Facts";
import { StateBadge, tookSeconds } from "../components/RunBits";
import { memory } from "../launch/span";
import { settingName } from "../recipe/names";
import { useTexts } from "../texts";
import { differences, finalFigures } from "./compare";
import styles from "./compare.module.css";

type Props = { runs: readonly Run[]; labels: readonly string[] };

/** The legend, with each run's line style and a button that removes the run from the comparison. */
export function ComparedRuns({
  slug,
  runs,
  labels,
  onLeaveOut,
}: Props & { slug: string; onLeaveOut: (id: string) => void }) {
  const texts = useTexts().compare;
  return (
    <Panel title={texts.runs} flush>
      <ul className={styles.runs}>
        {runs.map((run, index) => (
          <li key={run.id}>
            <LineSample index={index} />
            <Link to="/projects/$slug/runs/$runId" params={{ slug, runId: run.id }}>
              {labels[index]}
            </Link>
            <span className={ui.dim}>
              {kindTitle(run.kind)}, {ago(run.created_at)}
            </span>
            <StateBadge state={run.state} />
            <Button
              size="compact-sm"
              variant="subtle"
              color="gray"
              aria-label={texts.remove(labels[index] ?? "")}
              onClick={() => onLeaveOut(run.id)}
            >
              ×
            </Button>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Head({ first, labels }: { first: string; labels: readonly string[] }) {
  return (
    <thead>
      <tr>
        <th>{first}</th>
        {labels.map((label) => (
          <th key={label}>{label}</th>
        ))}
      </tr>
    </thead>
  );
}

export function Differences({ runs, labels }: Props) {
  const texts = useTexts().compare;
  const { rows, same } = differences(runs);
  return (
    <Panel title={texts.differences} aside={<span className={ui.dim}>{texts.sameCount(same)}</span>} flush>
      {rows.length === 0 ? (
        <p className={`${ui.dim} ${styles.same}`}>{texts.same}</p>
      ) : (
        <TableScroll label={texts.differences}>
          <Head first={texts.setting} labels={labels} />
          <tbody>
            {rows.map((row) => (
              <tr key={row.name}>
                <th scope="row" className={styles.rowHead}>
                  {settingName(row.name)}
                </th>
                {row.values.map((value, index) => (
                  <td key={labels[index]} className={styles.value}>
                    {settingText(row.name, value)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </TableScroll>
      )}
    </Panel>
  );
}

export function FinalFigures({ runs, labels }: Props) {
  const texts = useTexts().compare;
  const telling = (names: string[]) =>
    tellingFirst(Object.fromEntries(names.map((name) => [name, 0]))).map(([name]) => name);
  const took = runs.map((run) => tookSeconds(run));
  const rows = [
    ...finalFigures(runs, telling).map(({ name, values }) => ({
      name: figureName(name),
      values: values.map((value) => (value === undefined ? "–" : metric(value))),
    })),
    { name: texts.tookLabel, values: took.map((seconds) => (seconds === null ? "–" : duration(seconds))) },
    {
      name: texts.peak,
      values: runs.map(({ result }) => (result.machine ? memory(result.machine.peak_bytes) : "–")),
    },
  ];
  return (
    <Panel title={texts.final} flush>
      <TableScroll label={texts.final}>
        <Head first={texts.figure} labels={labels} />
        <tbody>
          {rows.map((row) => (
            <tr key={row.name}>
              <th scope="row" className={styles.rowHead}>
                {row.name}
              </th>
              {row.values.map((value, index) => (
                <td key={labels[index]} className={styles.value}>
                  {value}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </TableScroll>
    </Panel>
  );
}
