import { ActionIcon, Button, Checkbox, TextInput } from "@mantine/core";
import type { ReactNode } from "react";
import { NumberField } from "@/shared/fields/NumberField";
import { Panel } from "@/shared/ui";
import { Icon } from "@/shared/ui/Icon";
import { useEditor } from "../context";
import { type Part, type Path, valueAt } from "../editor";
import { useTexts } from "../texts";
import styles from "./forms.module.css";

type FieldProps = { path: Path; label: string; description?: string };

export function TextAt({ path, label, description, fresh = false }: FieldProps & { fresh?: boolean }) {
  const { state, dispatch, problemAt } = useEditor();
  return (
    <TextInput
      label={label}
      {...(description && { description })}
      autoFocus={fresh}
      value={String(valueAt(state.form, path) ?? "")}
      error={problemAt(path) ?? false}
      onChange={(event) => dispatch({ type: "put", path, value: event.currentTarget.value })}
    />
  );
}

export function NumberAt({
  path,
  label,
  description,
  min,
  max,
}: FieldProps & { min?: number; max?: number }) {
  const { state, dispatch, problemAt } = useEditor();
  const value = valueAt(state.form, path);
  return (
    <NumberField
      className={styles.number}
      label={label}
      {...(description && { description })}
      {...(min !== undefined && { min })}
      {...(max !== undefined && { max })}
      value={typeof value === "number" ? value : null}
      error={problemAt(path)}
      onChange={(next) => next !== null && dispatch({ type: "put", path, value: next })}
    />
  );
}

export function CheckAt({ path, label, description }: FieldProps) {
  const { state, dispatch, problemAt } = useEditor();
  return (
    <Checkbox
      size="sm"
      label={label}
      {...(description && { description })}
      error={problemAt(path) ?? false}
      checked={valueAt(state.form, path) === true}
      onChange={(event) => dispatch({ type: "put", path, value: event.currentTarget.checked })}
    />
  );
}

/** A checkbox that turns an optional part of the form on or off, followed by the part's fields. */
export function SwitchPart({
  part,
  label,
  description,
  children,
}: {
  part: Part;
  label: string;
  description?: string;
  children: ReactNode;
}) {
  const { state, dispatch } = useEditor();
  const on = state.form[part] !== null;
  return (
    <div className={styles.part}>
      <Checkbox
        size="sm"
        label={label}
        {...(description && { description })}
        checked={on}
        onChange={(event) => dispatch({ type: "switch", part, on: event.currentTarget.checked })}
      />
      {on && <div className={styles.inside}>{children}</div>}
      <Reasons path={[part]} />
    </div>
  );
}

/** The error that concerns an entire part of the form, not one of its fields. */
export function Reasons({ path }: { path: Path }) {
  const { problemAt } = useEditor();
  const reason = problemAt(path);
  return reason ? (
    <p className={styles.reason} role="alert">
      {reason}
    </p>
  ) : null;
}

/** The items of a list, each with buttons to move or remove the item. */
export function ListAt({
  path,
  add,
  empty,
  compact = false,
  row,
}: {
  path: Path;
  /** The label of the button that adds an item. */
  add: string;
  empty?: string;
  /** Shows each item on one line; the labels above the first line apply to all items. */
  compact?: boolean;
  row: (path: Path, fresh: boolean) => ReactNode;
}) {
  const { state, dispatch } = useEditor();
  const t = useTexts();
  const list = valueAt(state.form, path);
  const items: readonly { label: string }[] = Array.isArray(list) ? list : [];
  return (
    <div className={styles.list}>
      {items.length === 0 && empty && <p className={styles.dim}>{empty}</p>}
      {items.length > 0 && (
        <ol className={compact ? `${styles.items} ${styles.compact}` : styles.items}>
          {items.map((item, index) => {
            const what = item.label ? `“${item.label}”` : t.unnamed(index + 1);
            const move = (by: -1 | 1) => dispatch({ type: "move", path, index, by });
            return (
              // biome-ignore lint/suspicious/noArrayIndexKey: fields are bound to positions in the list, not to items
              <li key={index} className={styles.item}>
                <div className={styles.itemFields}>
                  {row([...path, index], item.label === "")}
                  <Reasons path={[...path, index]} />
                </div>
                <div className={styles.itemTools}>
                  <Tool icon="up" label={t.up(what)} off={index === 0} onClick={() => move(-1)} />
                  <Tool
                    icon="down"
                    label={t.down(what)}
                    off={index === items.length - 1}
                    onClick={() => move(1)}
                  />
                  <Tool
                    icon="close"
                    label={t.remove(what)}
                    onClick={() => dispatch({ type: "remove", path, index })}
                  />
                </div>
              </li>
            );
          })}
        </ol>
      )}
      <Reasons path={path} />
      <Button
        size="compact-sm"
        variant="subtle"
        leftSection={<Icon name="plus" size={14} />}
        onClick={() => dispatch({ type: "add", path })}
      >
        {add}
      </Button>
    </div>
  );
}

function Tool({
  icon,
  label,
  off = false,
  onClick,
}: {
  icon: "up" | "down" | "close";
  label: string;
  off?: boolean;
  onClick: () => void;
}) {
  return (
    <ActionIcon variant="subtle" color="gray" aria-label={label} disabled={off} onClick={onClick}>
      <Icon name={icon} size={14} />
    </ActionIcon>
  );
}

export function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Panel title={title}>
      <div className={styles.section}>{children}</div>
    </Panel>
  );
}
