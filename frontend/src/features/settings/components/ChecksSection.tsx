import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { NumberField } from "@/shared/fields/NumberField";
import { percent } from "@/shared/format";
import { Panel } from "@/shared/ui";
import { checkKindsQuery } from "../api/settings";
import { useTexts } from "../texts";
import type { SectionProps } from "./parts";
import styles from "./settings.module.css";

const MOST_CHECKS = 50;

export function ChecksSection({ slug, draft, change, refused }: SectionProps & { slug: string }) {
  const t = useTexts();
  const { data: kinds } = useQuery(checkKindsQuery(slug));
  const missing =
    kinds &&
    ((draft.goldRate > 0 && !kinds.has("gold")) || (draft.attentionRate > 0 && !kinds.has("attention")));
  return (
    <Panel
      title={t.checks}
      aside={
        <Link to="/projects/$slug/settings/checks" params={{ slug }}>
          {t.seeChecks}
        </Link>
      }
    >
      <p className={styles.lead}>{t.checksLead}</p>
      <div className={styles.grid}>
        <NumberField
          label={t.goldRate}
          description={t.rateHelp}
          min={0}
          max={MOST_CHECKS}
          step={0.5}
          suffix={t.percent}
          value={draft.goldRate}
          error={refused("gold_rate")}
          onChange={(goldRate) => change({ goldRate: goldRate ?? 0 })}
        />
        <NumberField
          label={t.attentionRate}
          description={t.rateHelp}
          min={0}
          max={MOST_CHECKS}
          step={0.5}
          suffix={t.percent}
          value={draft.attentionRate}
          error={refused("attention_rate")}
          onChange={(attentionRate) => change({ attentionRate: attentionRate ?? 0 })}
        />
        <NumberField
          label={t.minimum}
          description={t.minimumHelp}
          min={0}
          max={100}
          optional
          placeholder={t.notAsked}
          suffix={t.percent}
          value={draft.minimumAccuracy}
          error={refused("gold_minimum_accuracy")}
          onChange={(minimumAccuracy) => change({ minimumAccuracy })}
        />
        <NumberField
          label={t.minimumAnswers}
          min={1}
          value={draft.minimumAnswers}
          error={refused("gold_minimum_answers")}
          onChange={(minimumAnswers) => change({ minimumAnswers: minimumAnswers ?? 1 })}
        />
      </div>
      {missing && <p className={styles.warn}>{t.noChecks}</p>}
    </Panel>
  );
}

export function QualificationSection({ slug, draft, change, refused }: SectionProps & { slug: string }) {
  const t = useTexts();
  const { data: kinds } = useQuery(checkKindsQuery(slug));
  return (
    <Panel title={t.qualification}>
      <p className={styles.lead}>{t.qualificationLead}</p>
      <div className={styles.grid}>
        <NumberField
          label={t.passMark}
          description={t.passMarkHelp}
          min={0}
          max={100}
          optional
          placeholder={t.notAsked}
          suffix={t.percent}
          value={draft.passMark}
          error={refused("qualification_pass_mark")}
          onChange={(passMark) => change({ passMark })}
        />
        <NumberField
          label={t.attempts}
          description={t.attemptsHelp}
          min={1}
          max={10}
          value={draft.attempts}
          error={refused("qualification_attempts")}
          onChange={(attempts) => change({ attempts: attempts ?? 1 })}
        />
        <NumberField
          label={t.attemptTasks}
          description={t.attemptTasksHelp}
          min={1}
          optional
          placeholder={t.allTasks}
          value={draft.attemptTasks}
          error={refused("qualification_tasks")}
          onChange={(attemptTasks) => change({ attemptTasks })}
        />
      </div>
      {draft.passMark !== null && kinds && !kinds.has("qualification") && (
        <p className={styles.warn}>{t.noQualificationTasks}</p>
      )}
    </Panel>
  );
}

export function ReviewSection({ draft, change, refused }: SectionProps) {
  const t = useTexts();
  return (
    <Panel title={t.review}>
      <div className={styles.grid}>
        <NumberField
          label={t.reviewBelow}
          description={t.reviewHelp(percent(draft.reviewBelow / 100))}
          min={0}
          max={100}
          suffix={t.percent}
          value={draft.reviewBelow}
          error={refused("review_below")}
          onChange={(reviewBelow) => change({ reviewBelow: reviewBelow ?? 0 })}
        />
      </div>
    </Panel>
  );
}
