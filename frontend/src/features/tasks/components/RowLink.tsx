import { useRouter } from "@tanstack/react-router";
import type { MouseEvent } from "react";
import styles from "./tasks.module.css";

/**
 * A row's way to its task: an ordinary link, followed by the router. The router's own component works out a location for each
 * link and watches it, and forty rows may come and go with one turn of the wheel.
 */
export function RowLink({ slug, task, text }: { slug: string; task: string; text: string }) {
  const router = useRouter();
  function follow(event: MouseEvent) {
    // Another tab, another window, a download: the browser's.
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    void router.navigate({ to: "/projects/$slug/tasks/$taskId", params: { slug, taskId: task } });
  }
  return (
    <a className={styles.excerpt} href={`/projects/${slug}/tasks/${task}`} onClick={follow}>
      {text}
    </a>
  );
}
