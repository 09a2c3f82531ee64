import { lazy } from "react";

const load = () => import("./seldom");

/**
 * Loads the rarely needed parts before they are needed, since the connection may be lost by then, but after the task,
 * which people wait for.
 */
export function fetchSeldom(): () => void {
  // If it fails now, it is tried again when a part is needed.
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
