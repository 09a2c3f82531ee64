import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Run, RunFailure } from "@/api/types";
import { Notice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { useTexts } from "../texts";
import { useLog } from "./Log";
import styles from "./run.module.css";

const LINES_SHOWN = 12;

/** Why a run failed or was cancelled, what to do, and a button that opens the launch form with the run's settings. */
export function FailurePanel({
  run,
  failure,
  slug,
  acts,
}: {
  run: Run;
  failure: RunFailure;
  slug: string;
  acts: boolean;
}) {
  const texts = useTexts().run;
  const { log, lines } = useLog(run);
  const cancelled = failure.kind === "cancelled";
  const last = lines.slice(-LINES_SHOWN);
  return (
    <Notice
      tone={cancelled ? "warn" : "bad"}
      title={failure.title}
      actions={
        acts && (
          <Button
            size="xs"
            variant={failure.again ? "default" : "filled"}
            renderRoot={(props) => (
              <Link
                {...props}
                to="/projects/$slug/runs/new"
                params={{ slug }}
                search={{ kind: run.kind, from: run.id }}
              />
            )}
          >
            {texts.change}
          </Button>
        )
      }
    >
      <p>{failure.cause}</p>
      <p>
        <b>{texts.whatToDo}</b>
        {failure.fix}
      </p>
      {failure.settings.length > 0 && (
        <p className={styles.suspects}>
          {failure.settings.map((name) => (
            <code key={name}>
              {name} {JSON.stringify(run.recipe[name])}
            </code>
          ))}
        </p>
      )}
      {failure.detail && (
        <details className={styles.evidence}>
          <summary>{texts.recorded}</summary>
          <pre>{failure.detail}</pre>
        </details>
      )}
      {log.isSuccess && !cancelled && (
        <details className={styles.evidence} open>
          <summary>{texts.logEnd}</summary>
          {last.length > 0 ? <pre>{last.join("\n")}</pre> : <p className={ui.dim}>{texts.noLog}</p>}
        </details>
      )}
    </Notice>
  );
}
