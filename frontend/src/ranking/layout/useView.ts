import { useMediaQuery } from "@mantine/hooks";
import { type Dispatch, useMemo, useState } from "react";
import type { DeskAction } from "../state/deskState";
import { useViewTexts } from "../texts/view";
import { type Layout, layoutAfter, offeredLayouts, shownLayout } from "./layouts";
import type { Memory } from "./remembered";

/**
 * On narrow screens, nothing is shown side by side. desk.module.css and layouts.module.css use the same
 * breakpoint.
 */
const NARROW = "(max-width: 760px)";

export type ViewCommands = {
  nextLayout: () => void;
  toggleTogether: () => void;
  /**
   * Keeps this response in view next to the current response and releases any response that was kept in view
   * before. A second call for the same response releases it.
   */
  hold: (id: string) => void;
  toggleCompare: () => void;
};

export type View = ViewCommands & {
  /** The chosen layout, or a column if the chosen layout is not offered (for example, on a narrow screen). */
  readonly layout: Layout;
  /** The current arrangement, which can differ from the layout during a comparison of two responses. */
  readonly arrangement: Layout;
  readonly offered: readonly Layout[];
  readonly together: boolean;
  readonly held: string | null;
  readonly comparing: boolean;
  readonly keyLine: boolean;
  /** The direction in which the cards are arranged. */
  readonly axis: "down" | "across";
  /** Whether the responses use the full width, with the conversation above them. */
  readonly wide: boolean;
  choose: (layout: Layout) => void;
  /** Keeps this response in view. Unlike with `hold`, a second call does not release the response. */
  holdOnly: (id: string) => void;
  toggleKeyLine: () => void;
};

/** The view of the responses, which is not part of the answer. */
export function useView(pair: boolean, dispatch: Dispatch<DeskAction>, [kept, keep]: Memory): View {
  const texts = useViewTexts();
  const narrow = useMediaQuery(NARROW, false, { getInitialValueInEffect: false }) === true;
  const [held, setHeld] = useState<string | null>(null);
  const [comparing, setComparing] = useState(false);

  return useMemo(() => {
    const say = (text: string) => dispatch({ type: "say", text });
    const offered = offeredLayouts(pair, narrow);
    const layout = shownLayout(pair ? kept.pair : kept.list, offered);
    const arrangement = !comparing ? layout : !pair ? "focus" : narrow ? "column" : "row";
    const choose = (wanted: Layout) => {
      setComparing(false);
      keep({ ...kept, [pair ? "pair" : "list"]: wanted });
      say(`${texts[wanted]}.`);
    };
    return {
      layout,
      arrangement,
      offered,
      together: kept.together,
      held,
      comparing,
      keyLine: kept.keyLine,
      axis: arrangement === "column" || narrow ? "down" : "across",
      wide: pair || arrangement !== "column",
      choose,
      nextLayout: () => choose(layoutAfter(layout, offered)),
      toggleTogether: () => {
        keep({ ...kept, together: !kept.together });
        say(kept.together ? texts.scrollsAlone : texts.scrollsTogether);
      },
      hold: (id) => {
        setHeld(held === id ? null : id);
        say(held === id ? texts.notKept : texts.kept);
      },
      holdOnly: setHeld,
      toggleKeyLine: () => keep({ ...kept, keyLine: !kept.keyLine }),
      toggleCompare: () => {
        setComparing(!comparing);
        say(comparing ? texts.unmarked : texts.marked);
      },
    };
  }, [pair, narrow, kept, keep, held, comparing, dispatch, texts]);
}
