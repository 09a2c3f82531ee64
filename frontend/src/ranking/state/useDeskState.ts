import { type Dispatch, useMemo, useReducer } from "react";
import type { Assignment } from "@/api/types";
import { useOrderTexts } from "../texts/order";
import { type DeskAction, type DeskState, deskReducer, openDesk } from "./deskState";

/** The state of a desk for this task, with announcements in the page's language. */
export function useDeskState(assignment: Assignment, draft: unknown): [DeskState, Dispatch<DeskAction>] {
  const texts = useOrderTexts();
  const reduce = useMemo(
    () => (state: DeskState, action: DeskAction) => deskReducer(state, action, texts),
    [texts],
  );
  return useReducer(reduce, null, () => openDesk(assignment, draft));
}
