import { Button, NativeSelect, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { askedFrom, type BoardAsked } from "../asked";
import { useTexts } from "../texts";
import styles from "./leaderboard.module.css";

/** Which method and which slices. A slice by metadata waits for its key. */
export function BoardForm({ asked, onAsk }: { asked: BoardAsked; onAsk: (asked: BoardAsked) => void }) {
  const { method, by } = useTexts();
  const [key, setKey] = useState(asked.key ?? "");
  return (
    <form
      className={styles.form}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        onAsk(askedFrom({ ...asked, key }));
      }}
    >
      <NativeSelect
        size="xs"
        label={method.label}
        value={asked.method ?? "bradley_terry"}
        data={[
          { value: "bradley_terry", label: method.bradley_terry },
          { value: "davidson", label: method.davidson },
        ]}
        onChange={(event) => {
          const { method: _, ...rest } = asked;
          const chosen = event.currentTarget.value;
          onAsk(chosen === "davidson" ? { ...rest, method: "davidson" } : rest);
        }}
      />
      <NativeSelect
        size="xs"
        label={by.label}
        value={asked.by ?? ""}
        data={[
          { value: "", label: by.none },
          { value: "round", label: by.round },
          { value: "split", label: by.split },
          { value: "metadata", label: by.metadata },
        ]}
        onChange={(event) => onAsk(askedFrom({ ...asked, by: event.currentTarget.value, key }))}
      />
      {asked.by === "metadata" && (
        <>
          <TextInput
            size="xs"
            label={by.key}
            placeholder={by.keyHint}
            value={key}
            onChange={(event) => setKey(event.currentTarget.value)}
          />
          <Button type="submit" size="xs" variant="default">
            {by.go}
          </Button>
        </>
      )}
    </form>
  );
}
