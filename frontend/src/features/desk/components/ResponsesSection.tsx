import type { Dispatch, ReactNode, Ref } from "react";
import type { AnswerForm, ShownResponse } from "@/api/types";
import type { DeskAction, DeskState } from "../deskState";
import { isPairForm, type Side } from "../ranking/sides";
import styles from "./desk.module.css";
import { PairCards } from "./PairCards";
import { PairScale } from "./PairScale";
import { Responses } from "./Responses";

type Props = {
  form: AnswerForm;
  responses: readonly ShownResponse[];
  desk: DeskState;
  sides: readonly Side[];
  /** Where on the pair's scale the answer stands; −1: nowhere yet. */
  position: number;
  letters: ReadonlyMap<string, string>;
  excerpts: ReadonlyMap<string, string>;
  raw: boolean;
  dispatch: Dispatch<DeskAction>;
  ref?: Ref<HTMLElement>;
  /** The questions about one response. */
  children: (id: string) => ReactNode;
};

/** What is ordered: two responses over a scale, or cards in ranked order. */
export function ResponsesSection({
  form,
  responses,
  desk: { ranking, fields },
  sides,
  position,
  letters,
  excerpts,
  raw,
  dispatch,
  ref,
  children,
}: Props) {
  const pair = isPairForm(form);
  const shared = { responses, letters, raw, dispatch, children };
  return (
    <section className={styles.responses} aria-label="Responses" ref={ref}>
      <h2 className="visually-hidden">{pair ? "Two responses" : "Responses, best first"}</h2>
      {pair ? (
        <>
          <PairCards {...shared} tiers={position < 0 ? [] : ranking.tiers} focus={ranking.focus} />
          <PairScale sides={sides} position={position} required={!fields.not_rankable} dispatch={dispatch} />
        </>
      ) : (
        <Responses {...shared} ranking={ranking} excerpts={excerpts} />
      )}
    </section>
  );
}
