import { Button, NativeSelect, NumberInput, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { parse } from "valibot";
import { conditions, HAS, KINDS, STATES, type TasksSearch, tasksSearch } from "../search";
import { useTexts } from "../texts";
import styles from "./tasks.module.css";

/**
 * Filters are applied when the user presses Enter or leaves a field, so that typing does not send a request
 * for each letter.
 */
export function Filters({
  search,
  onSearch,
}: {
  search: TasksSearch;
  onSearch: (search: TasksSearch) => void;
}) {
  const texts = useTexts().filters;
  const [draft, setDraft] = useState<Record<string, unknown>>(search);
  const text = (name: keyof TasksSearch) => String(draft[name] ?? "");
  const set = (change: Record<string, unknown>) => setDraft({ ...draft, ...change });
  const send = (change: Record<string, unknown> = {}) => {
    const next = parse(tasksSearch, { ...draft, ...change });
    if (JSON.stringify(next) !== JSON.stringify(search)) onSearch(next);
  };
  const typed = (name: keyof TasksSearch) => ({
    size: "xs" as const,
    value: text(name),
    onChange: (event: { currentTarget: { value: string } }) => set({ [name]: event.currentTarget.value }),
    onBlur: () => send(),
  });
  const chosen = <Value extends string>(
    name: keyof TasksSearch,
    labels: Record<Value, string>,
    values: readonly Value[],
  ) => ({
    size: "xs" as const,
    value: text(name),
    data: [{ value: "", label: texts.any }, ...values.map((value) => ({ value, label: labels[value] }))],
    onChange: (event: { currentTarget: { value: string } }) => {
      const change = { [name]: event.currentTarget.value };
      set(change);
      send(change);
    },
  });
  return (
    <form
      className={styles.filters}
      aria-label={texts.label}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        send();
      }}
    >
      <TextInput className={styles.words ?? ""} label={texts.says} type="search" {...typed("says")} />
      {search.list !== "rankings" && (
        <NativeSelect label={texts.state} {...chosen("state", texts.states, STATES)} />
      )}
      <NativeSelect label={texts.kind} {...chosen("kind", texts.kinds, KINDS)} />
      <NativeSelect label={texts.has} {...chosen("has", texts.carries, HAS)} />
      <NumberInput
        size="xs"
        className={styles.short ?? ""}
        label={texts.under}
        min={1}
        max={100}
        allowDecimal={false}
        value={typeof draft.under === "number" ? draft.under : ""}
        onChange={(under) => set({ under: under === "" ? undefined : Number(under) })}
        onBlur={() => send()}
      />
      <TextInput label={texts.annotator} {...typed("annotator")} />
      <TextInput label={texts.model} {...typed("model")} />
      <NumberInput
        size="xs"
        className={styles.short ?? ""}
        label={texts.round}
        min={0}
        allowDecimal={false}
        value={typeof draft.round === "number" ? draft.round : ""}
        onChange={(round) => set({ round: round === "" ? undefined : Number(round) })}
        onBlur={() => send()}
      />
      <TextInput type="date" label={texts.from} {...typed("from")} />
      <TextInput type="date" label={texts.until} {...typed("until")} />
      {/* Submitting with Enter requires a submit button. */}
      <button type="submit" hidden />
      {conditions(search) > 0 && (
        <Button size="xs" variant="subtle" onClick={() => onSearch(search.list ? { list: search.list } : {})}>
          {texts.clear}
        </Button>
      )}
    </form>
  );
}
