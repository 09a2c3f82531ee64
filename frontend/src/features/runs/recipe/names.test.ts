import { expect, it } from "vitest";
import { choiceName, settingName, valueName, withChoiceNames } from "./names";

it("choices have readable names", () => {
  expect(["bradley_terry", "dr_grpo", "best_responses", "top_1", "bfloat16"].map(choiceName)).toEqual([
    "Bradley–Terry",
    "Dr. GRPO",
    "Best responses",
    "Top 1",
    "bfloat16",
  ]);
});

it("the help text names the choices as the form does", () => {
  const help =
    "Likelihood of a ranking. bradley_terry: by pairs. plackett_luce: by choices; see kl: no choice.";
  expect(withChoiceNames(help, ["bradley_terry", "plackett_luce"])).toBe(
    "Likelihood of a ranking. Bradley–Terry: by pairs. Plackett–Luce: by choices; see kl: no choice.",
  );
});

it("only the values of settings with choices are renamed", () => {
  expect(valueName("loss", "plackett_luce")).toBe("Plackett–Luce");
  expect(valueName("lora_target_modules", "q_proj")).toBe("q_proj");
  expect(valueName("base_model", "/models/my_model")).toBe("/models/my_model");
  expect(settingName("kl_target")).toBe("KL target");
});
