import type { ReactNode } from "react";
import { useAnswerTexts } from "../texts/answer";
import styles from "./fields.module.css";

/**
 * The maximum number of steps for which a scale has buttons. If there are more steps, typing a number is
 * faster.
 */
const MOST_BUTTONS = 21;

type Option<V> = { value: V; label: string; hint?: string };

type Asked = {
  legend: string;
  /** The server's path to the answer. The desk uses this path to find an unanswered question. */
  field: string;
  required: boolean;
};

export function Legend({ children, required }: { children: ReactNode; required: boolean }) {
  const texts = useAnswerTexts();
  return (
    <>
      {children}
      {required && <span className={styles.required}> {texts.required}</span>}
    </>
  );
}

/**
 * The option that a digit selects. If the options are numbers, the digit selects the option with that value.
 * Otherwise, 1 selects the first option, 2 the second option, and so on.
 */
function byDigit<V>(options: readonly Option<V>[], digit: number): Option<V> | undefined {
  const numbers = options.every(({ value }) => typeof value === "number");
  return numbers ? options.find(({ value }) => value === digit) : options[digit - 1];
}

/**
 * Radio buttons in one row or column. Arrow keys choose an option, and pressing Tab once leaves the group.
 */
export function Choices<V extends string | number>({
  legend,
  field,
  required,
  options,
  value,
  column = false,
  foot,
  onChange,
}: Asked & {
  options: readonly Option<V>[];
  value: V | null;
  column?: boolean;
  foot?: ReactNode;
  /** null: the answer was cleared. */
  onChange: (value: V | null) => void;
}) {
  return (
    <fieldset className={styles.scale} data-field={field}>
      <legend>
        <Legend required={required && value === null}>{legend}</Legend>
      </legend>
      <div className={column ? styles.column : styles.options}>
        {options.map((option) => (
          <label key={option.value} data-checked={option.value === value} title={option.hint}>
            <input
              type="radio"
              className="visually-hidden"
              name={field}
              required={required}
              checked={option.value === value}
              onChange={() => onChange(option.value)}
              // An accidental answer can be cleared with a second click, or with Delete.
              onClick={() => option.value === value && onChange(null)}
              onKeyDown={(event) => {
                if (event.altKey || event.ctrlKey || event.metaKey) return;
                if (event.key === "Delete" || event.key === "Backspace") onChange(null);
                else if (/^\d$/.test(event.key)) {
                  const typed = byDigit(options, Number(event.key));
                  if (typed) onChange(typed.value);
                } else return;
                // Digits are handled here even if they match no option, because the desk uses digits for the order.
                event.preventDefault();
              }}
            />
            {option.label}
            {option.hint && <span className="visually-hidden">, {option.hint}</span>}
          </label>
        ))}
      </div>
      {foot}
    </fieldset>
  );
}

type Scale = {
  min: number;
  max: number;
  points: readonly { value: number; label: string }[];
};

/**
 * A rating on a scale. Each step is a button with its meaning below. If there are too many steps, a number
 * field replaces the buttons.
 */
export function Rating({
  scale,
  value,
  onChange,
  ...asked
}: Asked & { scale: Scale; value: number | null; onChange: (value: number | null) => void }) {
  const texts = useAnswerTexts();
  const { min, max, points } = scale;
  const names = new Map(points.map((point) => [point.value, point.label]));
  if (max - min >= MOST_BUTTONS) {
    return (
      <fieldset className={styles.scale} data-field={asked.field}>
        <legend>
          <Legend required={asked.required && value === null}>{asked.legend}</Legend>
        </legend>
        <input
          type="number"
          className={styles.number}
          aria-label={texts.numberBetween(asked.legend, min, max)}
          min={min}
          max={max}
          step={1}
          value={value ?? ""}
          onChange={(event) => {
            const given = event.currentTarget.valueAsNumber;
            onChange(Number.isInteger(given) && given >= min && given <= max ? given : null);
          }}
        />
        <p className={styles.points}>
          <span>{[min, names.get(min)].filter((part) => part !== undefined).join(" ")}</span>
          <span>{[max, names.get(max)].filter((part) => part !== undefined).join(" ")}</span>
        </p>
      </fieldset>
    );
  }
  const steps = Array.from({ length: max - min + 1 }, (_, step) => min + step);
  const chosen = value === null ? undefined : names.get(value);
  const ends = names.has(min) || names.has(max);
  return (
    <Choices
      {...asked}
      options={steps.map((step) => {
        const hint = names.get(step);
        return hint ? { value: step, label: String(step), hint } : { value: step, label: String(step) };
      })}
      value={value}
      onChange={onChange}
      foot={
        (chosen !== undefined || ends) && (
          <p className={styles.points} data-chosen={chosen !== undefined} aria-hidden="true">
            {chosen === undefined ? (
              <>
                <span>{names.get(min)}</span>
                <span>{names.get(max)}</span>
              </>
            ) : (
              <span>{chosen}</span>
            )}
          </p>
        )
      }
    />
  );
}
