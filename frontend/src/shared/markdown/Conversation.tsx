import type { Message } from "@/api/types";
import { usePartTexts } from "../texts/parts";
import styles from "./conversation.module.css";
import { Markdown } from "./Markdown";

/**
 * A prompt: the turns up to the point where the model must answer. Turns have no ids and never change, so
 * each turn's index is its React key.
 */
export function Conversation({ messages, raw = false }: { messages: readonly Message[]; raw?: boolean }) {
  const speakers: Record<string, string> = usePartTexts().speakers;
  return (
    <ol className={styles.conversation}>
      {messages.map((message, index) => (
        <li
          // biome-ignore lint/suspicious/noArrayIndexKey: turns are an immutable sequence
          key={index}
          className={styles.turn}
          data-role={message.role}
          data-last={index === messages.length - 1}
        >
          <div className={styles.speaker}>{speakers[message.role] ?? message.role}</div>
          <Markdown text={message.content} raw={raw} />
        </li>
      ))}
    </ol>
  );
}
