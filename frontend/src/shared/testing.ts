/** What jsdom lacks and Mantine, or our own dialog, asks for at mount. */
import { configure } from "@testing-library/react";
import { vi } from "vitest";

/** A shared machine may be slow; a test that waits for something fails only when it does not come. */
configure({ asyncUtilTimeout: 60_000 });

Object.defineProperty(window, "matchMedia", {
  value: (query: string) => ({
    matches: false,
    media: query,
    onchange: null,
    addListener: vi.fn(),
    removeListener: vi.fn(),
    addEventListener: vi.fn(),
    removeEventListener: vi.fn(),
    dispatchEvent: vi.fn(),
  }),
});

class ResizeObserverStub {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}
window.ResizeObserver ??= ResizeObserverStub;
Element.prototype.scrollIntoView ??= () => undefined;

if (!("fonts" in document)) Object.defineProperty(document, "fonts", { value: new EventTarget() });

HTMLDialogElement.prototype.showModal ??= function showModal(this: HTMLDialogElement) {
  this.open = true;
};
HTMLDialogElement.prototype.close ??= function close(this: HTMLDialogElement) {
  this.open = false;
};
