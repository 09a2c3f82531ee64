import { Button } from "@mantine/core";
import {
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
  useSuspenseQuery,
} from "@tanstack/react-query";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import type { Loop, Round } from "@/api/types";
import { ago, count, duration, moment } from "@/shared/format";
import { may, meQuery } from "@/shared/session";
import { Badge, EmptyState, Loading, Notice, Page, Panel, ProblemNotice } from "@/shared/ui";
import { MoreButton } from "@/shared/ui/MoreButton";
import ui from "@/shared/ui/ui.module.css";
import { loopQuery, roundsQuery, saveLoop, settingsSchemaQuery, startRound } from "../api/loops";
import { useTexts } from "../texts";
import styles from "./loop.module.css";
import { SettingsPanel } from "./SettingsPanel";
import { Timeline } from "./Timeline";
import { ROUND_TONES } from "./tones";

export function LoopPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/loop" });
  const { data: me } = useSuspenseQuery(meQuery);
  const texts = useTexts();
  const acts = me ? may.launchRuns(me) : false;
  const loop = useQuery(loopQuery(slug));
  const schema = useQuery({ ...settingsSchemaQuery, enabled: acts });
  return (
    <Page
      title={texts.title}
      lead={texts.lead}
      actions={loop.data && acts && <LoopActions slug={slug} loop={loop.data} />}
    >
      {loop.isError && <ProblemNotice error={loop.error} />}
      {loop.isPending && <Loading label={texts.loading} />}
      {loop.data === null && (
        <EmptyState title={texts.none}>
          <p>{texts.noneWhy}</p>
        </EmptyState>
      )}
      {loop.data && <StatusPanel loop={loop.data} />}
      {loop.data && <Timeline slug={slug} running={loop.data.status.running_round !== null} />}
      {loop.data && <RoundsPanel slug={slug} />}
      {loop.data !== undefined && schema.data && (
        <SettingsPanel
          // When the loop is created, the form is reset to the stored settings.
          key={loop.data ? "stored" : "new"}
          slug={slug}
          loop={loop.data}
          schema={schema.data}
          save={loop.data ? texts.save : texts.create}
        />
      )}
    </Page>
  );
}

function LoopActions({ slug, loop }: { slug: string; loop: Loop }) {
  const texts = useTexts();
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const turn = useMutation({
    mutationFn: () => saveLoop(slug, { enabled: !loop.enabled }),
    onSuccess: (saved) => queryClient.setQueryData(["loop", slug], saved),
  });
  const start = useMutation({
    mutationFn: () => startRound(slug),
    onSuccess: (round) =>
      navigate({ to: "/projects/$slug/rounds/$roundId", params: { slug, roundId: round.id } }),
  });
  const failed = start.error ?? turn.error;
  return (
    <div>
      <div className={ui.actions}>
        <Button variant="default" loading={turn.isPending} onClick={() => turn.mutate()}>
          {loop.enabled ? texts.turnOff : texts.turnOn}
        </Button>
        <Button
          loading={start.isPending}
          disabled={loop.status.running_round !== null}
          onClick={() => start.mutate()}
        >
          {texts.startNow}
        </Button>
      </div>
      {failed && <ProblemNotice error={failed} />}
    </div>
  );
}

function StatusPanel({ loop }: { loop: Loop }) {
  const texts = useTexts();
  const { status, settings } = loop;
  const needed = settings.min_new_comparisons;
  return (
    <Panel
      title={texts.status}
      aside={<Badge tone={loop.enabled ? "good" : "neutral"}>{loop.enabled ? texts.on : texts.off}</Badge>}
    >
      {status.blocked_by && (
        <Notice tone="info" title={texts.blocked}>
          <p>{status.blocked_by}</p>
        </Notice>
      )}
      <dl className={styles.figures}>
        <div>
          <dt>{texts.newComparisons}</dt>
          <dd>
            {count(status.new_comparisons)}{" "}
            {typeof needed === "number" && <span className={ui.dim}>{texts.ofNeeded(count(needed))}</span>}
          </dd>
        </div>
        {status.next_scheduled_at && (
          <div>
            <dt>{texts.next}</dt>
            <dd>{moment(status.next_scheduled_at)}</dd>
          </div>
        )}
        <div>
          <dt>{texts.hours}</dt>
          <dd>{duration(status.gpu_hours * 3600)}</dd>
        </div>
      </dl>
    </Panel>
  );
}

function RoundsPanel({ slug }: { slug: string }) {
  const texts = useTexts();
  const rounds = useInfiniteQuery(roundsQuery(slug));
  const rows = rounds.data?.pages.flatMap((page) => page.results) ?? [];
  return (
    <Panel title={texts.rounds} flush>
      {rounds.isError && <ProblemNotice error={rounds.error} />}
      {rounds.isPending && <Loading label={texts.loading} />}
      {rounds.data && rows.length === 0 && <p className={styles.empty}>{texts.noRounds}</p>}
      <ol className={styles.rounds}>
        {rows.map((round) => (
          <RoundRow key={round.id} slug={slug} round={round} />
        ))}
      </ol>
      <MoreButton query={rounds} />
    </Panel>
  );
}

function RoundRow({ slug, round }: { slug: string; round: Round }) {
  const texts = useTexts();
  return (
    <li className={styles.round}>
      <div>
        <Link to="/projects/$slug/rounds/$roundId" params={{ slug, roundId: round.id }}>
          {texts.round(round.number)}
        </Link>{" "}
        <Badge tone={ROUND_TONES[round.state]}>{texts.states[round.state]}</Badge>
      </div>
      <div className={ui.dim}>
        {texts.startedBecause(texts.triggers[round.trigger])} · {texts.learnedFrom(round.new_comparisons)} ·{" "}
        <span title={moment(round.created_at)}>{ago(round.created_at)}</span>
      </div>
      {round.promoted.length > 0 && (
        <div>{texts.promoted(round.promoted.map(({ name }) => name).join(", "))}</div>
      )}
      {round.reason && <p className={styles.reason}>{round.reason}</p>}
    </li>
  );
}
