/** What few tasks need: fetched once the desk stands (later.ts), so that the first load has less to carry. */
export { GuidelinesDialog, ShortcutsDialog } from "./DeskDialogs";
export { Feedback } from "./Feedback";
export { NothingToRank } from "./Idle";
export { NoTask } from "./NoTask";
export { ReportDialog } from "./ReportDialog";
export { RewriteDialog } from "./RewriteDialog";
export { SkipDialog } from "./SkipDialog";
