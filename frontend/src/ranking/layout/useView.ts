import { useMediaQuery } from "@mantine/hooks";
import { type Dispatch, useMemo, useState } from "react";
import type { DeskAction } from "../state/deskState";
import { useViewTexts } from "../texts/view";
import { type Layout, layoutAfter, offeredLayouts, shownLayout } from "./layouts";
import type { Memory } from "./remembered";

/** Below it nothing stands side by side (desk.module.css and layouts.module.css break here too). */
const NARROW = "(max-width: 760px)";

export type ViewCommands = {
  nextLayout: () => void;
  toggleTogether: () => void;
  /** Keep this response in view beside the current one; the one kept is let go. */
  hold: (id: string) => void;
  toggleCompare: () => void;
};

export type View = ViewCommands & {
  /** What was chosen, as far as the screen has room for it. */
  readonly layout: Layout;
  /** How the cards stand now: comparing two shows two. */
  readonly arrangement: Layout;
  readonly offered: readonly Layout[];
  readonly together: boolean;
  readonly held: string | null;
  readonly comparing: boolean;
  readonly keyLine: boolean;
  /** Which way the cards run. */
  readonly axis: "down" | "across";
  /** The responses want the whole width, with the conversation above them. */
  readonly wide: boolean;
  choose: (layout: Layout) => void;
  /** Keep this one in view, whatever was kept before. */
  holdOnly: (id: string) => void;
  toggleKeyLine: () => void;
};

/** How one looks at the responses: nothing of it is part of the answer. */
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
