import { Fragment } from "react";

/** A sentence from the server, in which code is enclosed in backticks. */
export function Coded({ text }: { text: string }) {
  return text.split("`").map((part, index) => {
    // Every second part was between two backticks and is therefore code.
    const Tag = index % 2 === 1 ? "code" : Fragment;
    // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one sentence have no IDs and never move
    return <Tag key={index}>{part}</Tag>;
  });
}
