import { Button } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { projectQuery } from "@/shared/session";
import { CopyLine, Page } from "@/shared/ui";
import { Icon } from "@/shared/ui/Icon";
import { memberCountQuery } from "../api/projects";
import { useTexts } from "../texts";
import styles from "./preset.module.css";

type Place = "data" | "members" | "settings/form";

type Step = { title: string; text: string; done: boolean; action: ReactNode; more?: ReactNode };

/**
 * The steps that follow the creation of a project. Each step can be repeated, so users can return to this
 * page at any time.
 */
export function StartPage() {
  const t = useTexts().start;
  const { slug } = useParams({ from: "/shell/projects/$slug/start" });
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  const { data: members } = useQuery(memberCountQuery(slug));
  const tasks = project.counts.tasks ?? 0;
  const go = (to: Place, label: string, quiet: boolean) => (
    <Button
      variant={quiet ? "default" : "filled"}
      renderRoot={(props) => <Link {...props} to={`/projects/$slug/${to}`} params={{ slug }} />}
    >
      {label}
    </Button>
  );
  const steps: Step[] = [
    {
      title: t.importTitle,
      text: tasks > 0 ? t.importDone(tasks) : t.importEmpty,
      done: tasks > 0,
      action: go("data", tasks > 0 ? t.importMore : t.importAction, tasks > 0),
    },
    {
      title: t.peopleTitle,
      text: members ? `${t.peopleDone(members)} ${t.peopleEmpty}` : t.peopleEmpty,
      done: (members ?? 0) > 1,
      action: go("members", t.peopleAction, tasks === 0 || (members ?? 0) > 1),
    },
    {
      title: t.shareTitle,
      text: t.shareText,
      done: false,
      action: null,
      more: <CopyLine text={`${window.location.origin}/projects/${slug}/rank`} label={t.copy} />,
    },
  ];
  const next = steps.findIndex(({ done }) => !done);
  return (
    <Page
      title={t.title(project.name)}
      lead={t.lead}
      actions={
        <Button
          variant="default"
          renderRoot={(props) => <Link {...props} to="/projects/$slug" params={{ slug }} />}
        >
          {t.overview}
        </Button>
      }
    >
      <ol className={styles.steps}>
        {steps.map(({ title, text, done, action, more }, index) => (
          <li key={title} className={styles.step} data-done={done} data-next={index === next}>
            <span className={styles.number} aria-hidden="true">
              {done ? <Icon name="check" size={14} /> : index + 1}
            </span>
            <div>
              <h2>
                {title}
                {done && <span className="visually-hidden">, {t.done}</span>}
              </h2>
              <p>{text}</p>
            </div>
            {action}
            {more && <div className={styles.wide}>{more}</div>}
          </li>
        ))}
        <li className={styles.step}>
          <span className={styles.number} aria-hidden="true">
            <Icon name="play" size={12} />
          </span>
          <div>
            <h2>{t.formTitle}</h2>
            <p>{t.formText}</p>
          </div>
          {go("settings/form", t.formAction, true)}
        </li>
      </ol>
    </Page>
  );
}
