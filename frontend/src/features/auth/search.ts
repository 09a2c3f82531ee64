import * as v from "valibot";
import { param, searchOf } from "@/shared/search";

/**
 * `next`: the page to open after the login. `ended`: whether the session has expired. `step`: `code` if a
 * second-factor code is still required after a login with a provider or a password reset. `problem`: the reason
 * why the login with the provider failed.
 */
export const loginSearch = searchOf({
  next: param(v.string()),
  ended: param(v.literal(true)),
  step: param(v.literal("code")),
  problem: param(v.string()),
});
