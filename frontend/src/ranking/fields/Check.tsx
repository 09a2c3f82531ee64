import { type ReactNode, useId } from "react";
import styles from "./fields.module.css";

type Props = {
  label: ReactNode;
  /** An explanation of the checkbox, if the label is not sufficient. */
  description?: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
};

/** A native checkbox, because the component library's checkbox would add 3 kB to the desk's first load. */
export function Check({ label, description, checked, onChange }: Props) {
  const means = useId();
  return (
    <div className={styles.check}>
      <label>
        <input
          type="checkbox"
          checked={checked}
          aria-describedby={description && means}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
        {label}
      </label>
      {description && <p id={means}>{description}</p>}
    </div>
  );
}
