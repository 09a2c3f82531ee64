/** What few tasks need: fetched once the desk stands (later.ts), so that the first load has less to carry. */
export { GuidelinesDialog, ShortcutsDialog } from "../dialogs/KeysAndGuidelines";
export { ReportDialog } from "../dialogs/ReportDialog";
export { RewriteDialog } from "../dialogs/RewriteDialog";
export { SkipDialog } from "../dialogs/SkipDialog";
export { Feedback } from "./Feedback";
export { NothingToRank } from "./Idle";
export { NoTask } from "./NoTask";
