/** Texts of the components that every page shares. */
export const en = {
  close: "Close",
  speakers: { user: "User", assistant: "Assistant", system: "System", tool: "Tool" },
  empty: "(empty)",
  copied: "Copied",
  notLoaded: (alt: string) => (alt ? `Image not loaded: ${alt}` : "Image not loaded"),
  plain: {
    unreadable: "Shown as plain text because its formatting could not be parsed.",
    long: "Shown as plain text because it is very long.",
    endless: "Shown as plain text because it contains an extremely long word.",
    nested: "Shown as plain text because it is nested very deeply.",
  },
};
