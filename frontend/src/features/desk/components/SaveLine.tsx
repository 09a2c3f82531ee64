import type { SaveStatus } from "../draftSaver";

/** One quiet line that says where the work is. */
export function SaveLine({
  status,
  touched,
  lastDone,
}: {
  status: SaveStatus;
  touched: boolean;
  lastDone: string;
}) {
  return <output>{words(status, touched, lastDone)}</output>;
}

function words(status: SaveStatus, touched: boolean, lastDone: string): string {
  switch (status.state) {
    case "unsaved":
    case "saving":
      return "Saving…";
    case "waiting":
      return "Kept in this browser; the server can’t be reached";
    case "refused":
      return "Kept in this browser";
    case "saved":
      return touched ? "Draft saved" : lastDone;
  }
}
