import * as v from "valibot";
import { param, searchOf } from "@/shared/search";

const name = param(v.pipe(v.string(), v.nonEmpty()));

/** `pick`: the runs picked for a comparison, as ids separated by commas. */
export const runsSearch = searchOf({ pick: name });

/** `runs`: the runs that are compared, as ids separated by commas. */
export const compareSearch = searchOf({ runs: name });

/** What the form of a new run starts with. `from`: the run whose settings it repeats. */
export const newRunSearch = searchOf({ kind: name, from: name, policy: name, reward_model: name });
