import { SegmentedControl } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { Page } from "@/shared/ui";
import { asList, type Sought } from "../sought";
import { useTexts } from "../texts";
import { Filters } from "./Filters";
import { RankingsList } from "./RankingsList";
import { TasksList } from "./TasksList";

const route = getRouteApi("/shell/projects/$slug/tasks");

export function TasksPage() {
  const texts = useTexts();
  const { slug } = route.useParams();
  const sought = route.useSearch();
  const navigate = route.useNavigate();
  const list = sought.list ?? "tasks";
  const seek = (next: Sought) => void navigate({ search: next, replace: true, resetScroll: false });
  return (
    <Page
      title={texts.title}
      lead={texts.lead}
      actions={
        <SegmentedControl
          size="sm"
          aria-label={texts.lists.label}
          value={list}
          data={[
            { value: "tasks", label: texts.lists.tasks },
            { value: "rankings", label: texts.lists.rankings },
          ]}
          onChange={(value) => seek(asList(sought, value as "tasks" | "rankings"))}
        />
      }
    >
      <Filters key={JSON.stringify(sought)} sought={sought} onSeek={seek} />
      {list === "tasks" ? (
        <TasksList slug={slug} sought={sought} />
      ) : (
        <RankingsList slug={slug} sought={sought} />
      )}
    </Page>
  );
}
