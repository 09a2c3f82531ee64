import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { problemFrom } from "@/api/problem";
import type { Import } from "@/api/types";
import { Notice, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { useTexts } from "../texts";
import styles from "./data.module.css";
import { news, Report } from "./Report";

/**
 * The result of an import. `onImport` imports the file after a dry run. If the settings were `edited` after the
 * dry run, they must be applied first.
 */
export function Outcome({
  slug,
  row,
  edited = false,
  onImport,
}: {
  slug: string;
  row: Import;
  edited?: boolean;
  onImport?: (() => void) | undefined;
}) {
  const { import: texts } = useTexts();
  const { report } = row;
  return (
    <>
      {row.state === "cancelled" && (
        <Notice tone="info" title={row.dry_run ? texts.trialStopped : texts.stopped} />
      )}
      {row.problem && <ProblemNotice error={problemFrom(Number(row.problem.status), row.problem)} />}
      {report && <Report report={report} file={row.file_name} complete={row.state === "succeeded"} />}
      {report && (
        <div className={styles.import}>
          {row.dry_run && onImport && news(report) > 0 && (
            <>
              <Button disabled={edited} onClick={onImport}>
                {texts.go(report.read - report.failed)}
              </Button>
              {edited && <p className={ui.dim}>{texts.applyFirst}</p>}
            </>
          )}
          {row.dry_run && !onImport && news(report) > 0 && <p className={ui.dim}>{texts.chooseAgain}</p>}
          {row.dry_run && news(report) === 0 && <p className={ui.dim}>{texts.nothing}</p>}
          {!row.dry_run && report.tasks > 0 && (
            <Button
              variant="default"
              renderRoot={(props) => <Link {...props} to="/projects/$slug/tasks" params={{ slug }} />}
            >
              {texts.done}
            </Button>
          )}
        </div>
      )}
    </>
  );
}
