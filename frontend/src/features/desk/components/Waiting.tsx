import { Skeleton } from "@mantine/core";
import styles from "@/ranking/desk/desk.module.css";
import { useFlowTexts } from "../texts/flow";

/** Shown while a task is being fetched. */
export function Waiting() {
  const t = useFlowTexts();
  return (
    <main className={styles.desk} id="main" aria-busy="true" aria-label={t.fetching}>
      <div className={styles.skeleton}>
        <Skeleton height={20} width="40%" />
        <Skeleton height={120} />
      </div>
      <div className={styles.skeleton}>
        <Skeleton height={150} />
        <Skeleton height={150} />
        <Skeleton height={150} />
      </div>
      <div className={styles.skeleton}>
        <Skeleton height={160} />
      </div>
    </main>
  );
}
