import { Fragment } from "react";

/** A sentence of the server's own in which names of code stand between backticks, as in the documents it writes. */
export function Coded({ text }: { text: string }) {
  return text.split("`").map((part, index) => {
    // Every second part stood between two of them.
    const Tag = index % 2 === 1 ? "code" : Fragment;
    // biome-ignore lint/suspicious/noArrayIndexKey: the parts of one sentence have no other name and never move
    return <Tag key={index}>{part}</Tag>;
  });
}
