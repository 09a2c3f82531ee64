import type { ImportReport } from "@/api/types";
import { count } from "@/shared/format";
import { Notice, Stats } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { useTexts } from "../texts";
import styles from "./data.module.css";

const SHOWN_LINES = 5;

function Quirks({ quirks }: { quirks: ImportReport["quirks"] }) {
  const { report: texts } = useTexts();
  return (
    <section
      className={styles.errors}
      aria-label={texts.quirks}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
      tabIndex={0}
    >
      <table className={ui.table} data-testid="import-quirks">
        <thead>
          <tr>
            <th className={ui.number}>{texts.rows}</th>
            <th>{texts.quirk}</th>
            <th>{texts.lines}</th>
          </tr>
        </thead>
        <tbody>
          {quirks.map((quirk) => (
            <tr key={quirk.name}>
              <td className={ui.number}>{count(quirk.count)}</td>
              <td>{quirk.text}</td>
              <td>{linesOf(quirk)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Rejected({ report }: { report: ImportReport }) {
  const { report: texts } = useTexts();
  return (
    <section
      className={styles.errors}
      aria-label={texts.left}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
      tabIndex={0}
    >
      <table className={ui.table} data-testid="import-rejected">
        <thead>
          <tr>
            <th className={ui.number}>{texts.rows}</th>
            <th>{texts.why}</th>
            <th>{texts.lines}</th>
          </tr>
        </thead>
        <tbody>
          {report.reasons.map((group) => (
            <tr key={group.reason}>
              <td className={ui.number}>{count(group.count)}</td>
              <td>{group.reason}</td>
              <td>{linesOf(group)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

/** The line numbers of the first affected rows, with file names if the import is an archive. */
const linesOf = ({ lines, files, count }: { lines: number[]; files: string[]; count: number }): string =>
  lines
    .slice(0, SHOWN_LINES)
    .map((line, index) => (files[index] ? `${files[index]}:${line}` : line))
    .join(", ") + (count > SHOWN_LINES ? " …" : "");

/** The total number of new prompts, responses, tasks and rankings in an import report. */
export function news({ prompts, responses, tasks, rankings }: ImportReport): number {
  return prompts + responses + tasks + rankings;
}

/** `complete`: whether all rows of the file were read. */
export function Report({
  report,
  file,
  complete,
}: {
  report: ImportReport;
  file: string;
  complete: boolean;
}) {
  const { report: texts } = useTexts();
  const already = report.dry_run ? texts.alreadyTrial(file) : texts.already(file);
  return (
    <div className={ui.stack} data-testid="import-report">
      <Notice
        tone={report.failed > 0 || !complete ? "warn" : "good"}
        title={
          complete && news(report) === 0 && report.failed === 0
            ? already
            : (report.dry_run || !complete ? texts.read : texts.imported)(
                file,
                report.read,
                report.format,
                report.failed,
              )
        }
      >
        {report.dry_run && <p>{texts.trial}</p>}
      </Notice>
      <Stats
        items={[
          { label: texts.prompts, value: count(report.prompts) },
          { label: texts.responses, value: count(report.responses) },
          { label: texts.tasks, value: count(report.tasks) },
          { label: texts.rankings, value: count(report.rankings) },
          { label: texts.unchanged, value: count(report.unchanged) },
        ]}
      />
      {report.quirks.length > 0 && <Quirks quirks={report.quirks} />}
      {report.failed > 0 && <Rejected report={report} />}
    </div>
  );
}
