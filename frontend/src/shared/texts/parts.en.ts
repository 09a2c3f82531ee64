/** What stands on parts that every page shares. */
export const en = {
  close: "Close",
  speakers: { user: "User", assistant: "Assistant", system: "System", tool: "Tool" },
  empty: "(empty)",
  copied: "Copied",
  notLoaded: (alt: string) => (alt ? `image not loaded: ${alt}` : "image not loaded"),
  plain: {
    unreadable: "Shown as plain text: its formatting could not be read.",
    long: "Shown as plain text because it is very long.",
    endless: "Shown as plain text because it holds an endless word.",
    nested: "Shown as plain text because it is nested very deep.",
  },
};
