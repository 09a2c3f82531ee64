// @vitest-environment jsdom
import { expect, test } from "vitest";
import { lastLine } from "./upload";

const progress = { share: 0.5, read: 1000, failed: 2 };

test("the newest complete line is used and an incomplete line is ignored", () => {
  const first = `${JSON.stringify({ progress })}\n`;
  expect(lastLine(first)).toEqual({ progress });
  const second = `${JSON.stringify({ progress: { ...progress, read: 2000 } })}\n`;
  expect(lastLine(first + second)).toEqual({ progress: { ...progress, read: 2000 } });
  expect(lastLine(first + second.slice(0, 20))).toEqual({ progress });
});

test("a truncated response is not a result", () => {
  for (const text of ["", "{", "<html>\n", "null\n", '"text"\n']) expect(lastLine(text)).toEqual({});
});
