import * as v from "valibot";
import { param, searchOf, text } from "@/shared/search";

const METHODS = ["bradley_terry", "davidson"] as const;
const SLICES = ["round", "split", "metadata"] as const;

const params = searchOf({
  method: param(v.picklist(METHODS)),
  by: param(v.picklist(SLICES)),
  /** The metadata key to slice by. */
  key: param(text),
});

export type BoardSearch = v.InferOutput<typeof params>;

/** The selected method and slices of the leaderboard, stored in the page URL. */
export const boardSearch = v.pipe(
  params,
  v.transform(
    ({ key, ...board }): BoardSearch => (board.by === "metadata" && key ? { ...board, key } : board),
  ),
);
