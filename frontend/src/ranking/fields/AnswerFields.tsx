import { Button } from "@mantine/core";
import type { Dispatch } from "react";
import type { AnswerForm } from "@/api/types";
import { TextArea } from "@/shared/fields/TextArea";
import type { AnswerFields } from "../answer/answer";
import { wordsIn } from "../answer/wordCount";
import { keyHint } from "../keys/shortcuts";
import { isPairForm, isVerdict } from "../order/sides";
import type { DeskAction } from "../state/deskState";
import { useAnswerTexts } from "../texts/answer";
import { Check } from "./Check";
import { Choices, Legend, Rating } from "./Choices";
import styles from "./fields.module.css";

type FieldProps = { form: AnswerForm; fields: AnswerFields; dispatch: Dispatch<DeskAction> };

/** Maximum number of flags in a single row. If there are more flags, they are laid out in columns. */
const MOST_IN_A_ROW = 3;

/** A copy of `given` with `value` at `key`, or without `key` if the answer was cleared (null). */
function put<V>(given: Record<string, V>, key: string, value: V | null): Record<string, V> {
  const { [key]: _, ...others } = given;
  return value === null ? others : { ...others, [key]: value };
}

/** The questions about one response: ratings and flags. */
export function ResponseFields({
  responseId,
  letter,
  form,
  fields,
  dispatch,
}: FieldProps & { responseId: string; letter: string }) {
  const texts = useAnswerTexts();
  const ratings = fields.ratings[responseId] ?? {};
  const flags = fields.flags[responseId] ?? [];
  return (
    <div className={styles.response}>
      {form.ratings.map((scale) => (
        <Rating
          key={scale.name}
          legend={scale.label}
          field={`ratings.${responseId}.${scale.name}`}
          required={scale.required}
          scale={scale}
          value={ratings[scale.name] ?? null}
          onChange={(value) =>
            dispatch({
              type: "fields",
              change: { ratings: { ...fields.ratings, [responseId]: put(ratings, scale.name, value) } },
            })
          }
        />
      ))}
      {form.flags.length > 0 && (
        <fieldset className={styles.flags} data-many={form.flags.length > MOST_IN_A_ROW}>
          <legend className="visually-hidden">{texts.flagsOf(letter)}</legend>
          {form.flags.map((flag) => (
            <Check
              key={flag.name}
              label={flag.label}
              checked={flags.includes(flag.name)}
              onChange={(checked) => {
                const next = checked ? [...flags, flag.name] : flags.filter((name) => name !== flag.name);
                dispatch({ type: "fields", change: { flags: { ...fields.flags, [responseId]: next } } });
              }}
            />
          ))}
        </fieldset>
      )}
    </div>
  );
}

/**
 * The questions about the whole task. `best` is the text of the best response, or null if there is none.
 * `onRewrite`, if given, opens the rewrite next to the responses.
 */
export function TaskFields({
  form,
  fields,
  best,
  onRewrite,
  dispatch,
}: FieldProps & { best: string | null; onRewrite?: () => void }) {
  const texts = useAnswerTexts();
  const change = (part: Partial<AnswerFields>) => dispatch({ type: "fields", change: part });
  const pair = isPairForm(form);
  const rankable = !fields.not_rankable;
  return (
    <div className={styles.task}>
      {form.strength && !pair && rankable && (
        <Choices
          legend={texts.howMuchBetter}
          field="strength"
          required={form.strength.required}
          options={form.strength.levels}
          value={fields.strength}
          onChange={(strength) => change({ strength })}
        />
      )}
      {rankable &&
        form.questions.map((question) => (
          <Choices
            key={question.name}
            legend={question.label}
            field={`choices.${question.name}`}
            required={question.required}
            options={question.choices.map(({ name, label }) => ({ value: name, label }))}
            value={fields.choices[question.name] ?? null}
            column
            onChange={(choice) => change({ choices: put(fields.choices, question.name, choice) })}
          />
        ))}
      {form.confidence && rankable && (
        <Choices
          legend={texts.howSure}
          field="confidence"
          required={form.confidence.required}
          options={form.confidence.levels}
          value={fields.confidence}
          onChange={(confidence) => change({ confidence })}
        />
      )}
      {form.all_bad && !(pair && isVerdict(form)) && rankable && (
        <Check
          label={form.all_bad.label}
          description={texts.allBadMeans[form.all_bad.order]}
          checked={fields.all_bad}
          onChange={(checked) => change({ all_bad: checked })}
        />
      )}
      {form.not_rankable && (
        <Check
          label={pair ? texts.notComparableBox : texts.notRankableBox}
          description={texts.notRankableMeans}
          checked={fields.not_rankable}
          onChange={(checked) => change({ not_rankable: checked })}
        />
      )}
      {form.comment && (
        <TextArea
          data-field="comment"
          label={<Legend required={form.comment.required && rankable}>{form.comment.label}</Legend>}
          minRows={2}
          maxRows={6}
          value={fields.comment}
          onChange={(event) => change({ comment: event.currentTarget.value })}
        />
      )}
      {form.rewrite && (
        <div className={styles.rewrite}>
          <TextArea
            data-field="rewrite"
            label={<Legend required={form.rewrite.required && rankable}>{form.rewrite.label}</Legend>}
            description={texts.rewriteMeans}
            minRows={3}
            maxRows={12}
            value={fields.rewrite ?? ""}
            onChange={(event) => change({ rewrite: event.currentTarget.value || null })}
          />
          <div className={styles.rewriteTools}>
            {best !== null && !fields.rewrite && (
              <Button
                size="compact-xs"
                variant="subtle"
                color="gray"
                onClick={() => change({ rewrite: best })}
              >
                {texts.startFromBest}
              </Button>
            )}
            {onRewrite && (
              <Button
                size="compact-xs"
                variant="subtle"
                color="gray"
                title={texts.rewriteBeside + keyHint("rewrite")}
                onClick={onRewrite}
              >
                {texts.rewriteBeside}
              </Button>
            )}
            {fields.rewrite && <span>{texts.words(wordsIn(fields.rewrite))}</span>}
          </div>
        </div>
      )}
    </div>
  );
}
