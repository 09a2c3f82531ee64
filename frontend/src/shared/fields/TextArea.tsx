import { type ComponentProps, type CSSProperties, type ReactNode, useId } from "react";
import styles from "./textArea.module.css";

type Props = Omit<ComponentProps<"textarea">, "className" | "id" | "rows" | "style"> & {
  label?: ReactNode;
  description?: ReactNode;
  minRows: number;
  maxRows?: number;
};

/**
 * A text field that grows with its text by means of CSS alone (`field-sizing`). Measuring the text with
 * JavaScript would force the browser to lay out the whole desk again before each task's first frame. Browsers
 * without `field-sizing` keep the initial number of rows, and users can resize the field.
 */
export function TextArea({ label, description, minRows, maxRows, ...textarea }: Props) {
  const id = useId();
  return (
    <div className={styles.field}>
      {label !== undefined && <label htmlFor={id}>{label}</label>}
      <textarea
        {...textarea}
        id={id}
        rows={minRows}
        style={{ "--min-rows": minRows, "--max-rows": maxRows ?? 40 } as CSSProperties}
        {...(description !== undefined && { "aria-describedby": `${id}-help` })}
      />
      {description !== undefined && <p id={`${id}-help`}>{description}</p>}
    </div>
  );
}
