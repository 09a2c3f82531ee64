import { lazy } from "react";

const load = () => import("./seldom");

/** Before it is asked for, since the connection may be gone by then; after the task, which is what is waited for. */
export function fetchSeldom(): () => void {
  // Where it can't be had now, it is asked for again when it is needed.
  const timer = setTimeout(() => void load().catch(() => undefined), 500);
  return () => clearTimeout(timer);
}

export const Feedback = lazy(() => load().then((seldom) => ({ default: seldom.Feedback })));
export const GuidelinesDialog = lazy(() => load().then((seldom) => ({ default: seldom.GuidelinesDialog })));
export const NoTask = lazy(() => load().then((seldom) => ({ default: seldom.NoTask })));
export const NothingToRank = lazy(() => load().then((seldom) => ({ default: seldom.NothingToRank })));
export const ReportDialog = lazy(() => load().then((seldom) => ({ default: seldom.ReportDialog })));
export const RewriteDialog = lazy(() => load().then((seldom) => ({ default: seldom.RewriteDialog })));
export const SkipDialog = lazy(() => load().then((seldom) => ({ default: seldom.SkipDialog })));
export const ShortcutsDialog = lazy(() => load().then((seldom) => ({ default: seldom.ShortcutsDialog })));
