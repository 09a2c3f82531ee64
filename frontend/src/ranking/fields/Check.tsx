import { type ReactNode, useId } from "react";
import styles from "./fields.module.css";

type Props = {
  label: ReactNode;
  /** What ticking it means, where the label alone does not say. */
  description?: string;
  checked: boolean;
  onChange: (checked: boolean) => void;
};

/** The browser's own box: every first load of the desk would carry the component library's, 3 kB. */
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
