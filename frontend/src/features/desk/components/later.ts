import { lazy } from "react";

const load = () => import("./seldom");

/**
 * Preloads rarely needed components, because the connection can be lost by the time they are needed. The task is
 * loaded first, because the annotator is waiting for it.
 */
export function fetchSeldom(): () => void {
  // If preloading fails, a component is loaded again when it is needed.
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
