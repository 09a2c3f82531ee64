import { Button, NativeSelect, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { parse } from "valibot";
import { type BoardSearch, boardSearch } from "../search";
import { useTexts } from "../texts";
import styles from "./leaderboard.module.css";

/** Selects the method and the slices. To slice by metadata, users must enter the key first. */
export function BoardForm({
  search,
  onSearch,
}: {
  search: BoardSearch;
  onSearch: (search: BoardSearch) => void;
}) {
  const { method, by } = useTexts();
  const [key, setKey] = useState(search.key ?? "");
  return (
    <form
      className={styles.form}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        onSearch(parse(boardSearch, { ...search, key }));
      }}
    >
      <NativeSelect
        size="xs"
        label={method.label}
        value={search.method ?? "bradley_terry"}
        data={[
          { value: "bradley_terry", label: method.bradley_terry },
          { value: "davidson", label: method.davidson },
        ]}
        onChange={(event) => {
          const { method: _, ...rest } = search;
          const chosen = event.currentTarget.value;
          onSearch(chosen === "davidson" ? { ...rest, method: "davidson" } : rest);
        }}
      />
      <NativeSelect
        size="xs"
        label={by.label}
        value={search.by ?? ""}
        data={[
          { value: "", label: by.none },
          { value: "round", label: by.round },
          { value: "split", label: by.split },
          { value: "metadata", label: by.metadata },
        ]}
        onChange={(event) => onSearch(parse(boardSearch, { ...search, by: event.currentTarget.value, key }))}
      />
      {search.by === "metadata" && (
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
