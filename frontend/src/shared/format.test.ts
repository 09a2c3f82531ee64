import { describe, expect, it } from "vitest";
import { figureName } from "./figures";
import { shortName } from "./format";

describe("names that training and the server give", () => {
  it.each([
    ["objective/kl", "KL to the reference"],
    ["objective_kl_first", "KL to the reference, at first"],
    ["loss/value_avg", "Value loss"],
    ["anything_first", "Anything first"],
    ["heldout/accuracy", "Held-out accuracy"],
    ["heldout_loss", "Held-out loss"],
    ["heldout/best_of_4", "Held-out best of 4"],
  ])("%s is called %s", (name, called) => expect(figureName(name)).toBe(called));

  it("are cut where they end in an id, and only there", () => {
    expect(shortName("reward_model-01a1feef-f80e-7e38-89c3-171f05d2fec0")).toBe("reward_model-01a1feef…");
    expect(shortName("autumn-2026")).toBe("autumn-2026");
  });
});
