import * as v from "valibot";
import { param, searchOf } from "@/shared/search";

/**
 * `next`: the page to open after the login. `ended`: the session has expired. `step`: the provider's login is done and the code
 * of the second factor is missing. `problem`: why the provider's login failed.
 */
export const loginSearch = searchOf({
  next: param(v.string()),
  ended: param(v.literal(true)),
  step: param(v.literal("code")),
  problem: param(v.string()),
});
