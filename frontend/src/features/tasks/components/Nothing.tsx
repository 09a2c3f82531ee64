import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { EmptyState } from "@/shared/ui";
import { conditions, type TasksSearch } from "../search";
import { useTexts } from "../texts";

export function Nothing({ slug, search }: { slug: string; search: TasksSearch }) {
  const texts = useTexts().empty;
  if (conditions(search) > 0) {
    return (
      <EmptyState title={texts.none.title}>
        <p>{texts.none.text}</p>
      </EmptyState>
    );
  }
  const { title, text, action } = search.list === "rankings" ? texts.rankings : texts.tasks;
  const to = search.list === "rankings" ? "/projects/$slug/members" : "/projects/$slug/data";
  return (
    <EmptyState
      title={title}
      actions={
        <Button renderRoot={(props) => <Link {...props} to={to} params={{ slug }} />}>{action}</Button>
      }
    >
      <p>{text}</p>
    </EmptyState>
  );
}
