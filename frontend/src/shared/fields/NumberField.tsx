import { TextInput } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";
import { useTexts } from "../texts";

type Props = {
  label: ReactNode;
  value: number | null;
  onChange: (value: number | null) => void;
  min?: number;
  max?: number;
  step?: number;
  description?: ReactNode;
  error?: string | false | undefined;
  placeholder?: string;
  /**
   * Whether the field can be empty; an empty field means that there is no limit. If the field can't be empty,
   * clearing it restores the previous value.
   */
  optional?: boolean;
  suffix?: string;
  className?: string | undefined;
};

/**
 * A number field that tolerates invalid text while the user types. The value changes only when the text is a
 * valid number or, in an optional field, empty. When the field loses the focus, invalid text is replaced by
 * the current value. The field checks its bounds itself and reports them in the unit that the user sees (such
 * as percent or minutes), because the server's error messages use shares and seconds.
 */
export function NumberField({ value, onChange, min, max, step = 1, optional = false, ...field }: Props) {
  const { suffix, error, placeholder, ...shown } = field;
  const t = useTexts();
  const outside =
    value !== null && ((min !== undefined && value < min) || (max !== undefined && value > max));
  const [text, setText] = useState(value === null ? "" : String(value));
  useEffect(
    () => setText((now) => (numberIn(now) === value ? now : value === null ? "" : String(value))),
    [value],
  );
  return (
    <TextInput
      {...shown}
      type="number"
      inputMode={step < 1 ? "decimal" : "numeric"}
      min={min}
      max={max}
      step={step}
      value={text}
      error={(outside ? t.range(min, max) : error) || false}
      {...(placeholder !== undefined && { placeholder })}
      {...(suffix && { rightSection: <span aria-hidden>{suffix}</span> })}
      onChange={(event) => {
        const typed = event.currentTarget.value;
        setText(typed);
        const number = numberIn(typed);
        if (number !== null || (optional && typed.trim() === "")) onChange(number);
      }}
      onBlur={() => setText(value === null ? "" : String(value))}
    />
  );
}

function numberIn(text: string): number | null {
  const number = Number(text);
  return text.trim() === "" || !Number.isFinite(number) ? null : number;
}
