import { Button } from "@mantine/core";
import { useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type ReactNode, Suspense, useEffect, useMemo, useState } from "react";
import type { Assignment, Project } from "@/api/types";
import { useLease } from "@/ranking/desk/useLease";
import { useRenderedAhead } from "@/shared/markdown/useRenderedAhead";
import { meQuery, projectQuery } from "@/shared/session";
import { Notice, ProblemNotice, useDocumentTitle } from "@/shared/ui";
import { renewLease } from "../api/assignments";
import { forgetOld } from "../draft/kept";
import { leaseOf } from "../flow/flow";
import { useFlow } from "../flow/useFlow";
import { useTakeBack } from "../flow/useTakeBack";
import { Desk } from "../task/Desk";
import { useDeskTexts } from "../texts/desk";
import { useFlowTexts } from "../texts/flow";
import flow from "./flow.module.css";
import { Feedback, NoTask, NothingToRank } from "./later";
import { Pace, PracticeBar } from "./Pace";
import { Unsent } from "./Unsent";
import { Waiting } from "./Waiting";
import { whyNoTask } from "./whyNoTask";

export function DeskPage() {
  useDocumentTitle(useDeskTexts().title);
  const { slug } = useParams({ from: "/shell/projects/$slug/rank" });
  const { data: me } = useSuspenseQuery(meQuery);
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  useEffect(() => {
    forgetOld();
  }, []);
  // Each project has its own desk.
  return me && <ProjectDesk key={slug} project={project} user={me.id} />;
}

const textsOf = ({ task, responses }: Assignment): string[] => [
  ...task.prompt.messages.map(({ content }) => content),
  ...responses.map(({ text }) => text),
];

/** Renews the lease of a task that is leased but not shown. */
function Holding({ assignment, onLost }: { assignment: Assignment; onLost: () => void }) {
  const { lost } = useLease(assignment, renewLease);
  useEffect(() => {
    if (lost) onLost();
  });
  return null;
}

function ProjectDesk({ project, user }: { project: Project; user: string }) {
  const t = useFlowTexts();
  const texts = useDeskTexts();
  const queryClient = useQueryClient();
  const work = useFlow(project.slug, user);
  const { desk, ahead, aside } = work.flow;
  const { unsent, claim, practised } = work;
  const takeBack = useTakeBack(project.slug, work);
  useRenderedAhead(useMemo(() => ahead.flatMap(textsOf), [ahead]));

  // The project's task counts are fetched only for the notice that there is no task, because computing the
  // counts is more expensive than claiming a task.
  const empty = desk === null && claim.data?.length === 0;
  useEffect(() => {
    if (empty) void queryClient.invalidateQueries({ queryKey: projectQuery(project.slug).queryKey });
  }, [empty, queryClient, project.slug]);

  // The message that there is no answer to take back is shown until the next task is finished.
  const { happened } = work;
  const [nothingAt, setNothingAt] = useState<typeof happened | null>(null);
  const nothing = nothingAt === happened;
  async function takeBackLast() {
    setNothingAt((await takeBack.run()) ? null : happened);
  }

  const lastDone = () => {
    const { what, given } = happened;
    if (nothing) return t.nothingToTakeBack;
    if (what === "") return "";
    if (what === "skipped") return t.skipped;
    if (unsent.queued.length > 0) return t.sending;
    if (what === "elsewhere") return t.elsewhere;
    return what === "revised" ? t.revised : t.saved(given);
  };

  const sayNothing = nothing && (
    <div className={flow.notices}>
      <Notice tone="info" title={t.nothingToTakeBack} />
    </div>
  );

  const held = aside ? [...ahead, aside.assignment] : ahead;
  return (
    <>
      {held.map((assignment) => (
        <Holding
          key={leaseOf(assignment)}
          assignment={assignment}
          onLost={() => (assignment === aside?.assignment ? work.ask() : work.lostAhead(leaseOf(assignment)))}
        />
      ))}
      <Unsent
        unsent={unsent}
        deskIsEmpty={desk === null}
        onSendNow={() => work.outbox.kick()}
        onBack={work.takeUpRefused}
        onLetGo={({ key }) => work.outbox.drop(key)}
      />
      {takeBack.error !== null && (
        <div className={flow.notices}>
          <ProblemNotice error={takeBack.error} />
        </div>
      )}
      <Suspense fallback={<Waiting />}>{surface()}</Suspense>
    </>
  );

  function surface(): ReactNode {
    if (practised) {
      return (
        <main id="main">
          <h1 className="visually-hidden">{t.practice}</h1>
          <Feedback
            assignment={practised}
            arrived={!unsent.queued.some(({ assignmentId }) => assignmentId === practised.id)}
            onNext={work.hasRead}
          />
        </main>
      );
    }
    if (desk) {
      const { assignment, how, answer } = desk;
      return (
        <main id="main">
          <h1 className="visually-hidden">{texts.rank}</h1>
          {assignment.practice && <PracticeBar slug={project.slug} />}
          <Desk
            key={`${leaseOf(assignment)} ${how} ${answer !== null}`}
            project={project}
            hand={desk}
            lastDone={lastDone()}
            onGive={(given) => work.give(desk, given)}
            onSkipped={work.skipped}
            onTakeBack={() => void takeBackLast()}
            onPutDown={work.putDown}
            onReload={work.reload}
            pace={<Pace slug={project.slug} />}
          />
        </main>
      );
    }
    if (unsent.queued.length > 0) return <Waiting />;
    if (claim.isFetching && !empty) return <Waiting />;
    if (claim.isError) {
      const why = whyNoTask(claim.error);
      if (why) {
        return (
          <main id="main">
            <h1 className="visually-hidden">{texts.title}</h1>
            {sayNothing}
            <NoTask why={why} slug={project.slug} onLook={work.ask} onTakeBack={() => void takeBackLast()} />
          </main>
        );
      }
      return (
        <main id="main" style={{ maxWidth: 680, margin: "48px auto", padding: "0 16px" }}>
          <ProblemNotice
            error={claim.error}
            actions={
              <Button size="xs" onClick={work.ask}>
                {t.tryAgain}
              </Button>
            }
          />
        </main>
      );
    }
    if (!empty) return <Waiting />;
    return (
      <main id="main">
        <h1 className="visually-hidden">{texts.title}</h1>
        {sayNothing}
        <NothingToRank
          project={project}
          done={work.happened.given}
          onLook={work.ask}
          onTakeBack={() => void takeBackLast()}
        />
      </main>
    );
  }
}
