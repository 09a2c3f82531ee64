import { useRouter } from "@tanstack/react-router";
import type { MouseEvent } from "react";
import styles from "./tasks.module.css";

/**
 * The link from a row to its task: a plain link that the router handles. The router's link component computes
 * and watches a location for each link. This takes too long when fast scrolling replaces forty rows at once.
 */
export function RowLink({ slug, task, text }: { slug: string; task: string; text: string }) {
  const router = useRouter();
  function follow(event: MouseEvent) {
    // The browser handles clicks that open the link in another tab or window, and clicks that download the
    // target.
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
