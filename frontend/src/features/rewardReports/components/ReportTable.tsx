import type { ReactNode } from "react";
import { Panel, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import styles from "./report.module.css";

/** A section of the report that consists of a table with a title. */
export function ReportTable({
  title,
  about,
  columns,
  after,
  children,
}: {
  title: string;
  about: string;
  /** The name of each column, and whether the column contains text or aligned numbers. */
  columns: readonly (readonly [name: string, holds: "words" | "numbers"])[];
  /** Shown below the table. */
  after?: string | undefined;
  children: ReactNode;
}) {
  return (
    <Panel title={title} flush>
      <p className={`${styles.lead} ${ui.dim}`}>{about}</p>
      <TableScroll label={title}>
        <thead>
          <tr>
            {columns.map(([name, holds]) => (
              <th key={name} className={holds === "numbers" ? ui.number : undefined}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </TableScroll>
      {after && <p className={`${styles.lead} ${ui.dim}`}>{after}</p>}
    </Panel>
  );
}
