import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Leaderboard as Board } from "@/api/types";
import { EmptyState, Loading, Notice, Page, Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { leaderboardQuery } from "../api/leaderboard";
import { hasLevels } from "../board";
import type { BoardSearch } from "../search";
import { useTexts } from "../texts";
import { BoardForm } from "./BoardForm";
import styles from "./leaderboard.module.css";
import { Strengths } from "./Strengths";
import { Unfinished } from "./Unfinished";
import { WinMatrix } from "./WinMatrix";

const route = getRouteApi("/shell/projects/$slug/leaderboard");

function MainBoard({ board }: { board: Board }) {
  const texts = useTexts();
  const chance = board.tie_parameter === null ? null : board.tie_parameter / (2 + board.tie_parameter);
  return (
    <>
      {board.groups > 1 && <Notice tone="warn" title={texts.groups(board.groups)} />}
      <Unfinished convergence={board.convergence} />
      <Panel
        title={texts.board.title}
        flush
        aside={<span className={ui.dim}>{texts.board.compared(board.comparisons)}</span>}
      >
        <Strengths standings={board.standings} label={texts.board.table} />
        <div className={`${ui.dim} ${styles.lead}`}>
          <p>
            {texts.board.meaning} {texts.method[`${board.method}Meaning`]}{" "}
            {chance !== null && texts.method.ties(chance)}
          </p>
          {hasLevels(board.standings) && <p>{texts.levels}</p>}
          {board.models_left_out > 0 && <p>{texts.board.left(board.models_left_out)}</p>}
        </div>
      </Panel>
    </>
  );
}

function Slices({ board, search }: { board: Board; search: BoardSearch }) {
  const { slices: texts, board: words } = useTexts();
  if (!search.by || (search.by === "metadata" && !search.key)) return null;
  if (board.slices.length === 0) return <p className={ui.dim}>{texts.none}</p>;
  return (
    <>
      {board.slices.map((slice) => {
        const title = search.by === "round" ? texts.round(slice.name) : texts.title(slice.name);
        return (
          <Panel
            key={slice.name}
            title={title}
            flush
            aside={<span className={ui.dim}>{words.compared(slice.comparisons)}</span>}
          >
            <Unfinished convergence={slice.convergence} />
            <Strengths standings={slice.standings} label={`${title}, ${words.table}`} />
          </Panel>
        );
      })}
      {board.slices_left_out > 0 && <p className={ui.dim}>{texts.left(board.slices_left_out)}</p>}
    </>
  );
}

/** The leaderboard page. The `bias` element is shown below the boards. */
export function Leaderboard({ bias }: { bias: ReactNode }) {
  const texts = useTexts();
  const { slug } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { data: board, error, isPending } = useQuery(leaderboardQuery(slug, search));
  const empty = board && board.standings.length === 0;
  return (
    <Page title={texts.title} lead={texts.lead}>
      {!empty && (
        <BoardForm
          search={search}
          onSearch={(search) => void navigate({ search, replace: true, resetScroll: false })}
        />
      )}
      {error && <ProblemNotice error={error} />}
      {isPending && <Loading label={texts.computing} />}
      {empty && (
        <EmptyState
          title={texts.empty.title}
          actions={
            <Button renderRoot={(props) => <Link {...props} to="/projects/$slug/data" params={{ slug }} />}>
              {texts.empty.action}
            </Button>
          }
        >
          <p>{texts.empty.text}</p>
        </EmptyState>
      )}
      {board && !empty && (
        <>
          <MainBoard board={board} />
          <Slices board={board} search={search} />
          <WinMatrix board={board} />
          {bias}
        </>
      )}
    </Page>
  );
}
