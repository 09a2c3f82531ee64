import { Button, Checkbox, NativeSelect } from "@mantine/core";
import type { Project, SkipWay } from "@/api/types";
import { NumberField } from "@/shared/fields/NumberField";
import { Badge, Panel } from "@/shared/ui";
import { wayFirst, withWay } from "../draft";
import { useTexts } from "../texts";
import type { SectionProps } from "./parts";
import styles from "./settings.module.css";

const WAYS: readonly SkipWay[] = ["others", "me", "drop"];
const POLICIES: readonly Project["allocation_policy"][] = ["finish_started", "fifo"];

export function TasksSection({ draft, change, refused }: SectionProps) {
  const t = useTexts();
  return (
    <Panel title={t.tasks}>
      <div className={styles.grid}>
        <NumberField
          label={t.overlap}
          description={t.overlapHelp}
          min={1}
          max={50}
          value={draft.overlap}
          error={refused("overlap")}
          onChange={(overlap) => change({ overlap: overlap ?? 1 })}
        />
        <NumberField
          label={t.lease}
          description={t.leaseHelp}
          min={0.5}
          max={1440}
          step={0.5}
          suffix={t.minutes}
          value={draft.leaseMinutes}
          error={refused("lease_seconds")}
          onChange={(leaseMinutes) => change({ leaseMinutes: leaseMinutes ?? draft.leaseMinutes })}
        />
        <NativeSelect
          label={t.policy}
          description={t.policyHelp}
          data={POLICIES.map((value) => ({ value, label: t.policies[value] }))}
          value={draft.policy}
          error={refused("allocation_policy") ?? false}
          onChange={(event) => change({ policy: event.currentTarget.value as Draft["policy"] })}
        />
      </div>
      <div className={styles.grid}>
        <NumberField
          label={t.max}
          description={t.maxHelp}
          min={1}
          optional
          placeholder={t.noLimit}
          value={draft.max}
          error={refused("max_per_annotator")}
          onChange={(max) => change({ max })}
        />
        <NumberField
          label={t.maxDay}
          description={t.maxDayHelp}
          min={1}
          optional
          placeholder={t.noLimit}
          value={draft.maxPerDay}
          error={refused("max_per_annotator_per_day")}
          onChange={(maxPerDay) => change({ maxPerDay })}
        />
        <SkipWays draft={draft} change={change} refused={refused} />
      </div>
    </Panel>
  );
}

type Draft = SectionProps["draft"];

function SkipWays({ draft, change, refused }: SectionProps) {
  const t = useTexts();
  // The enabled options come first, in the project's order, followed by the disabled options.
  const ways = [...draft.skipWays, ...WAYS.filter((way) => !draft.skipWays.includes(way))];
  const error = refused("skip_ways");
  return (
    <fieldset className={styles.ways}>
      <legend>{t.skips}</legend>
      {ways.map((way, index) => {
        const offered = draft.skipWays.includes(way);
        const { title, means } = t.skipWays[way];
        return (
          <div key={way} className={styles.way}>
            <Checkbox
              size="sm"
              label={title}
              description={means}
              checked={offered}
              onChange={(event) =>
                change({ skipWays: withWay(draft.skipWays, way, event.currentTarget.checked) })
              }
            />
            {index === 0 && <Badge tone="neutral">{t.skipFirst}</Badge>}
            {index > 0 && offered && (
              <Button
                size="compact-xs"
                variant="subtle"
                aria-label={t.skipUp(title)}
                onClick={() => change({ skipWays: wayFirst(draft.skipWays, way) })}
              >
                {t.skipUpShort}
              </Button>
            )}
          </div>
        );
      })}
      <p className={styles.help}>{t.skipsHelp}</p>
      {error && <p className={styles.warn}>{error}</p>}
    </fieldset>
  );
}
