/** Components that few tasks need, loaded after the desk (later.ts) to keep the first load small. */
export { GuidelinesDialog, ShortcutsDialog } from "../dialogs/KeysAndGuidelines";
export { ReportDialog } from "../dialogs/ReportDialog";
export { RewriteDialog } from "../dialogs/RewriteDialog";
export { SkipDialog } from "../dialogs/SkipDialog";
export { Feedback } from "./Feedback";
export { NothingToRank } from "./Idle";
export { NoTask } from "./NoTask";
