import * as v from "valibot";
import { param, searchOf } from "@/shared/search";

const name = param(v.pipe(v.string(), v.nonEmpty()));

/** `pick`: the IDs of the runs selected for a comparison, separated by commas. */
export const runsSearch = searchOf({ pick: name });

/** `runs`: the IDs of the compared runs, separated by commas. */
export const compareSearch = searchOf({ runs: name });

/** The initial values of the launch form. `from`: the run whose settings are copied. */
export const newRunSearch = searchOf({ kind: name, from: name, policy: name, reward_model: name });
