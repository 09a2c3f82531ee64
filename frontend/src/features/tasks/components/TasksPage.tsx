import { SegmentedControl } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";
import { Page } from "@/shared/ui";
import { asList, type TasksSearch } from "../search";
import { useTexts } from "../texts";
import { Filters } from "./Filters";
import { RankingsList } from "./RankingsList";
import { TasksList } from "./TasksList";

const route = getRouteApi("/shell/projects/$slug/tasks");

export function TasksPage() {
  const texts = useTexts();
  const { slug } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const list = search.list ?? "tasks";
  const narrow = (next: TasksSearch) => void navigate({ search: next, replace: true, resetScroll: false });
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
          onChange={(value) => narrow(asList(search, value as "tasks" | "rankings"))}
        />
      }
    >
      <Filters key={JSON.stringify(search)} search={search} onSearch={narrow} />
      {list === "tasks" ? (
        <TasksList slug={slug} search={search} />
      ) : (
        <RankingsList slug={slug} search={search} />
      )}
    </Page>
  );
}
