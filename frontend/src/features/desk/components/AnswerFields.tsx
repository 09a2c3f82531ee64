import { Checkbox, Textarea } from "@mantine/core";
import type { Dispatch } from "react";
import type { AnswerForm } from "@/api/types";
import type { AnswerFields } from "../answer";
import type { DeskAction } from "../deskState";
import styles from "./fields.module.css";

type FieldProps = { form: AnswerForm; fields: AnswerFields; dispatch: Dispatch<DeskAction> };

/** Radio buttons drawn as one row, so arrows choose and one Tab passes. */
function Scale({
  legend,
  name,
  options,
  value,
  onChange,
}: {
  legend: string;
  name: string;
  options: { value: number; label: string }[];
  value: number | null;
  onChange: (value: number) => void;
}) {
  return (
    <fieldset className={styles.scale}>
      <legend>{legend}</legend>
      <div className={styles.options}>
        {options.map((option) => (
          <label key={option.value} data-checked={option.value === value}>
            <input
              type="radio"
              className="visually-hidden"
              name={name}
              checked={option.value === value}
              onChange={() => onChange(option.value)}
            />
            {option.label}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** What the form asks about one response: ratings and flags. */
export function ResponseFields({
  responseId,
  letter,
  form,
  fields,
  dispatch,
}: FieldProps & { responseId: string; letter: string }) {
  const ratings = fields.ratings[responseId] ?? {};
  const flags = fields.flags[responseId] ?? [];
  return (
    <div className={styles.response}>
      {form.ratings.map((rating) => (
        <Scale
          key={rating.name}
          legend={rating.label}
          name={`${responseId}.${rating.name}`}
          options={Array.from({ length: rating.max - rating.min + 1 }, (_, step) => ({
            value: rating.min + step,
            label: String(rating.min + step),
          }))}
          value={ratings[rating.name] ?? null}
          onChange={(value) =>
            dispatch({
              type: "fields",
              change: { ratings: { ...fields.ratings, [responseId]: { ...ratings, [rating.name]: value } } },
            })
          }
        />
      ))}
      {form.flags.length > 0 && (
        <fieldset className={styles.flags}>
          <legend className="visually-hidden">Flags of response {letter}</legend>
          {form.flags.map((flag) => (
            <Checkbox
              key={flag.name}
              size="xs"
              label={flag.label}
              checked={flags.includes(flag.name)}
              onChange={(event) => {
                const next = event.currentTarget.checked
                  ? [...flags, flag.name]
                  : flags.filter((name) => name !== flag.name);
                dispatch({ type: "fields", change: { flags: { ...fields.flags, [responseId]: next } } });
              }}
            />
          ))}
        </fieldset>
      )}
    </div>
  );
}

/** What the form asks about the task as a whole. */
export function TaskFields({ form, fields, dispatch }: FieldProps) {
  const change = (part: Partial<AnswerFields>) => dispatch({ type: "fields", change: part });
  return (
    <div className={styles.task}>
      {form.strength && !fields.not_rankable && (
        <Scale
          legend="How much better is the best?"
          name="strength"
          options={form.strength.levels}
          value={fields.strength}
          onChange={(strength) => change({ strength })}
        />
      )}
      {form.not_rankable && (
        <Checkbox
          size="sm"
          label="These can't be ranked"
          description="The prompt makes no sense, or no order would be honest."
          checked={fields.not_rankable}
          onChange={(event) => change({ not_rankable: event.currentTarget.checked })}
        />
      )}
      {form.comment && (
        <Textarea
          label="Comment"
          autosize
          minRows={2}
          maxRows={6}
          value={fields.comment}
          onChange={(event) => change({ comment: event.currentTarget.value })}
        />
      )}
      {form.rewrite && (
        <Textarea
          label="Better answer"
          description="What the model should have said, if none is good enough."
          autosize
          minRows={3}
          maxRows={12}
          value={fields.rewrite ?? ""}
          onChange={(event) => change({ rewrite: event.currentTarget.value || null })}
        />
      )}
    </div>
  );
}
