import { TextInput } from "@mantine/core";
import { useEditor } from "../context";
import { type Path, valueAt } from "../editor";
import { useTexts } from "../texts";
import { ListAt, NumberAt, TextAt } from "./fields";
import styles from "./forms.module.css";

/** A row with a label and the name under which answers are stored. */
export function NamedRow({ path, label, fresh }: { path: Path; label?: string; fresh: boolean }) {
  const t = useTexts();
  const { state, dispatch, problemAt } = useEditor();
  return (
    <div className={styles.row}>
      <TextInput
        label={label ?? t.label}
        autoFocus={fresh}
        value={String(valueAt(state.form, [...path, "label"]) ?? "")}
        error={problemAt([...path, "label"]) ?? false}
        onChange={(event) => dispatch({ type: "label", path, value: event.currentTarget.value })}
      />
      <div className={styles.code}>
        <TextAt path={[...path, "name"]} label={t.name} />
      </div>
    </div>
  );
}

/** The list editor for flags and for a question's choices. */
export function NamedList({ path, add, empty }: { path: Path; add: string; empty?: string }) {
  return (
    <ListAt
      path={path}
      add={add}
      compact
      {...(empty && { empty })}
      row={(at, fresh) => <NamedRow path={at} fresh={fresh} />}
    />
  );
}

/** The list editor for levels of strength or confidence and for the labelled points of a rating scale. */
export function LevelList({ path, add }: { path: Path; add: string }) {
  const t = useTexts();
  return (
    <ListAt
      path={path}
      add={add}
      compact
      row={(at, fresh) => (
        <div className={styles.row}>
          <NumberAt path={[...at, "value"]} label={t.value} />
          <TextAt path={[...at, "label"]} label={t.label} fresh={fresh} />
        </div>
      )}
    />
  );
}
