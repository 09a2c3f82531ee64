import { useQuery } from "@tanstack/react-query";
import { EmptyState, Loading, Panel, ProblemNotice } from "@/shared/ui";
import { snapshotsQuery } from "../api/data";
import { useTexts } from "../texts";
import { FreezeForm } from "./FreezeForm";
import { SnapshotItem } from "./SnapshotItem";

export function SnapshotsPanel({ slug }: { slug: string }) {
  const { snapshots: texts } = useTexts();
  const snapshots = useQuery(snapshotsQuery(slug));
  const all = snapshots.data ?? [];
  const suggestion = `v${all.length + 1}`;
  return (
    <Panel
      title={texts.title}
      aside={snapshots.isSuccess && <FreezeForm key={suggestion} slug={slug} suggestion={suggestion} />}
      flush={all.length > 0}
    >
      {snapshots.isError && <ProblemNotice error={snapshots.error} />}
      {snapshots.isPending && <Loading label={texts.loading} />}
      {snapshots.isSuccess && all.length === 0 && (
        <EmptyState title={texts.empty}>
          <p>{texts.emptyText}</p>
        </EmptyState>
      )}
      {all.map((snapshot, index) => (
        <SnapshotItem key={snapshot.id} slug={slug} snapshot={snapshot} openAtFirst={index === 0} />
      ))}
    </Panel>
  );
}
