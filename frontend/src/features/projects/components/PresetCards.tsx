import type { Preset, PresetForm } from "@/api/types";
import { askedBy } from "../asked";
import { useTexts } from "../texts";
import { FormSketch } from "./FormSketch";
import styles from "./preset.module.css";

/** The preset forms, each as a radio button with its questions and a sketch of the desk. */
export function PresetCards({
  presets,
  value,
  error,
  onChange,
}: {
  presets: readonly PresetForm[];
  value: Preset;
  error: string | undefined;
  onChange: (preset: Preset) => void;
}) {
  const t = useTexts();
  return (
    <fieldset className={styles.cards}>
      <legend>{t.newProject.preset}</legend>
      <p className={styles.help}>{t.newProject.presetHelp}</p>
      {error && <p className={styles.error}>{error}</p>}
      <div className={styles.grid}>
        {presets.map(({ name, form }) => (
          <label key={name} className={styles.preset} data-checked={name === value}>
            <input
              type="radio"
              name="preset"
              value={name}
              checked={name === value}
              aria-label={t.presets[name].title}
              aria-describedby={`preset-${name}`}
              onChange={() => onChange(name)}
            />
            <span className={styles.what}>
              <span className={styles.presetHead}>
                <strong>{t.presets[name].title}</strong>
                <small>{t.presets[name].source}</small>
              </span>
              <span className={styles.asks} id={`preset-${name}`}>
                {askedBy(form, t.asked).map((line) => (
                  <span key={line}>{line}</span>
                ))}
              </span>
            </span>
            <FormSketch form={form} />
          </label>
        ))}
      </div>
    </fieldset>
  );
}
