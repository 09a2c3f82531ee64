import { act, cleanup, fireEvent, render, screen } from "@testing-library/react";
import { Suspense } from "react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ago, count, roughly } from "@/shared/format";
import { catalog, LanguageProvider, type Texts } from ".";
import { LanguageSelect } from "./LanguageSelect";
import { speak } from "./language";

const en = { hello: "Hello", left: (n: number) => `${count(n)} left`, nested: { more: "More" } };
const de: Texts<typeof en> = {
  hello: "Hallo",
  left: (n) => `noch ${count(n)}`,
  nested: { more: "Mehr" },
};

afterEach(() => {
  cleanup();
  localStorage.clear();
  speak("en", { remember: false });
  vi.restoreAllMocks();
});

function Words({ useTexts }: { useTexts: () => Texts<typeof en> }) {
  const texts = useTexts();
  return <p data-testid="words">{`${texts.hello} ${texts.left(1234)} ${texts.nested.more}`}</p>;
}

function page(useTexts: () => Texts<typeof en>) {
  return render(
    <LanguageProvider>
      <Suspense fallback="waiting">
        <Words useTexts={useTexts} />
        <LanguageSelect label="Language" />
      </Suspense>
    </LanguageProvider>,
  );
}

const words = () => screen.getByTestId("words").textContent;
const choose = (code: string) =>
  act(async () => {
    fireEvent.change(screen.getByLabelText("Language"), { target: { value: code } });
  });

describe("the interface language", () => {
  it("the language can be chosen, is set on the document, and is remembered", async () => {
    const load = vi.fn(() => Promise.resolve({ de }));
    await act(async () => page(catalog(en, { de: load })));
    expect(words()).toBe("Hello 1,234 left More");
    await choose("de");
    expect(words()).toBe("Hallo noch 1.234 Mehr");
    expect(document.documentElement.lang).toBe("de");
    expect(localStorage.getItem("rankloop.language")).toBe("de");
    await choose("en");
    await choose("de");
    expect(load).toHaveBeenCalledTimes(1);
  });

  it("the language defaults to the browser's first supported language", async () => {
    vi.spyOn(navigator, "languages", "get").mockReturnValue(["fr-FR", "de-AT", "en"]);
    await act(async () => page(catalog(en, { de: () => Promise.resolve({ de }) })));
    expect(words()).toContain("Hallo");
    expect(localStorage.getItem("rankloop.language")).toBeNull();
  });

  it("the language is English if a translation is missing or can't be loaded", async () => {
    localStorage.setItem("rankloop.language", "de");
    await act(async () => page(catalog(en)));
    expect(words()).toContain("Hello");
    cleanup();
    const load = vi.fn(() => Promise.reject(new Error("offline")));
    await act(async () => page(catalog(en, { de: load })));
    expect(words()).toContain("Hello");
  });

  it("the language applies to numbers, dates and times", () => {
    const now = Date.parse("2026-03-10T12:00:00Z");
    expect([roughly(3), roughly(41), ago("2026-03-09T11:00:00Z", now)]).toEqual([
      "a few seconds",
      "about 50 s",
      "1 day ago",
    ]);
    speak("de", { remember: false });
    expect([roughly(41), ago("2026-03-07T11:00:00Z", now), ago("2026-03-10T11:30:00Z", now)]).toEqual([
      "etwa 50 s",
      "vor 3 Tagen",
      "vor 30 min",
    ]);
  });
});
