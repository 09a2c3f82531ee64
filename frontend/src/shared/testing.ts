/** Browser features that jsdom lacks and that Mantine and our dialog need when they mount. */
import { configure } from "@testing-library/react";
import { vi } from "vitest";

/**
 * The timeout is generous, because a shared machine can be slow. A test that waits for a condition should
 * fail only if the condition never becomes true.
 */
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
