import type { AnswerForm } from "@/api/types";

/** The path to a part of the form. The server joins the parts of a path with dots, as in `ratings.0.max`. */
export type Path = readonly (string | number)[];

/** The optional parts of a form. */
export type Part = "top_k" | "strength" | "confidence" | "all_bad" | "comment" | "rewrite";

export type EditorState = {
  /** The project's form as last saved. */
  readonly saved: AnswerForm;
  readonly form: AnswerForm;
  /** Earlier versions, oldest first. Consecutive changes to one field count as one undo step. */
  readonly past: readonly AnswerForm[];
  /** The field that was changed last. */
  readonly typing: string | null;
  /** The content of parts that were turned off, in case they are turned on again. */
  readonly shelf: { readonly [K in Part]?: AnswerForm[K] };
};

export type EditorAction =
  | { type: "put"; path: Path; value: unknown }
  /** Changes the label of a named item. A new item's name is derived from its label. */
  | { type: "label"; path: Path; value: string }
  | { type: "add"; path: Path }
  | { type: "remove"; path: Path; index: number }
  | { type: "move"; path: Path; index: number; by: -1 | 1 }
  | { type: "switch"; part: Part; on: boolean }
  | { type: "replace"; form: AnswerForm }
  | { type: "undo" }
  /** The server has saved the form, so the project now uses it. */
  | { type: "saved"; form: AnswerForm };

const MAX_UNDO_STEPS = 100;
const MAX_NAME = 60;

const FRESH: { [K in Part]: NonNullable<AnswerForm[K]> } = {
  top_k: { at_least: 1, at_most: 3 },
  strength: {
    levels: [
      { value: 1, label: "slightly better" },
      { value: 2, label: "better" },
      { value: 3, label: "much better" },
    ],
    required: false,
  },
  confidence: {
    levels: [
      { value: 1, label: "guessing" },
      { value: 2, label: "fairly sure" },
      { value: 3, label: "certain" },
    ],
    required: false,
  },
  all_bad: { label: "None of these is good enough", order: "asked" },
  comment: { label: "Comment", required: false },
  rewrite: { label: "A better response", required: false },
};

export function openEditor(saved: AnswerForm): EditorState {
  return { saved, form: saved, past: [], typing: null, shelf: {} };
}

export function isChanged({ saved, form }: EditorState): boolean {
  return JSON.stringify(saved) !== JSON.stringify(form);
}

/** Whether the project's form has changed since editing began and also differs from the edited form. */
export function isOvertaken({ saved, form }: EditorState, asked: AnswerForm): boolean {
  const now = JSON.stringify(asked);
  return now !== JSON.stringify(saved) && now !== JSON.stringify(form);
}

export function editForm(state: EditorState, action: EditorAction): EditorState {
  const { form } = state;
  switch (action.type) {
    case "put":
      return changed(state, putAt(form, action.path, action.value), action.path.join("."));
    case "label":
      return changed(state, labelled(state, action.path, action.value), action.path.join("."));
    case "add": {
      const list = listAt(form, action.path);
      return changed(state, putAt(form, action.path, [...list, fresh(action.path, list)]));
    }
    case "remove": {
      const rest = listAt(form, action.path).filter((_, index) => index !== action.index);
      return changed(state, putAt(form, action.path, rest));
    }
    case "move":
      return changed(state, putAt(form, action.path, moved(listAt(form, action.path), action)));
    case "switch": {
      const { part, on } = action;
      const value = on ? (form[part] ?? state.shelf[part] ?? FRESH[part]) : null;
      return {
        ...changed(state, { ...form, [part]: value }),
        shelf: on ? state.shelf : { ...state.shelf, [part]: form[part] },
      };
    }
    case "replace":
      return changed(state, action.form);
    case "undo": {
      const before = state.past.at(-1);
      return before ? { ...state, form: before, past: state.past.slice(0, -1), typing: null } : state;
    }
    case "saved":
      return { ...state, saved: action.form, form: action.form, typing: null };
  }
}

function changed(state: EditorState, form: AnswerForm, typing: string | null = null): EditorState {
  if (JSON.stringify(form) === JSON.stringify(state.form)) return state;
  const sameField = typing !== null && typing === state.typing && state.past.length > 0;
  const past = sameField ? state.past : [...state.past, state.form].slice(-MAX_UNDO_STEPS);
  return { ...state, form, past, typing };
}

/** A copy of `whole` with `value` at `path`; all other parts are shared with the original. */
function putAt<T>(whole: T, path: Path, value: unknown): T {
  const [key, ...rest] = path;
  if (key === undefined) return value as T;
  if (Array.isArray(whole)) {
    return whole.map((item, index) => (index === key ? putAt(item, rest, value) : item)) as T;
  }
  const part = (whole as Record<string, unknown>)[key];
  return { ...whole, [key]: putAt(part, rest, value) };
}

export function valueAt(whole: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (part, key) => (part === null || part === undefined ? undefined : (part as Record<string, unknown>)[key]),
    whole,
  );
}

function listAt(form: AnswerForm, path: Path): unknown[] {
  const list = valueAt(form, path);
  return Array.isArray(list) ? list : [];
}

function moved(list: unknown[], { index, by }: { index: number; by: -1 | 1 }): unknown[] {
  const target = index + by;
  if (target < 0 || target >= list.length) return list;
  const rest = list.filter((_, at) => at !== index);
  return [...rest.slice(0, target), list[index], ...rest.slice(target)];
}

/** An empty item for the list at `path`, including the parts that such an item requires. */
function fresh(path: Path, list: readonly unknown[]): unknown {
  const values = list.map((item) => (item as { value?: number }).value ?? 0);
  switch (path.at(-1)) {
    case "ratings":
      return { name: "", label: "", min: 1, max: 5, required: false, points: [] };
    case "questions":
      return {
        name: "",
        label: "",
        required: false,
        choices: [
          { name: "yes", label: "Yes" },
          { name: "no", label: "No" },
        ],
      };
    case "levels":
      return { value: Math.max(0, ...values) + 1, label: "" };
    case "points":
      return { value: values.length ? Math.max(...values) + 1 : 1, label: "" };
    default:
      return { name: "", label: "" };
  }
}

/**
 * Converts a label to the name under which answers are stored. For example, "Contains personal data" becomes
 * "contains_personal_data".
 */
export function nameFrom(label: string, taken: readonly string[] = []): string {
  const plain = label
    .toLowerCase()
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036f'’]/g, "")
    .replaceAll(/[^a-z0-9]+/g, "_")
    .slice(0, MAX_NAME)
    .replaceAll(/^_+|_+$/g, "");
  if (!taken.includes(plain)) return plain;
  for (let number = 2; ; number++) {
    const name = `${plain.slice(0, MAX_NAME - 4)}_${number}`;
    if (!taken.includes(name)) return name;
  }
}

/** Answers are stored by name, so a name that the project already uses never changes automatically. */
function labelled(state: EditorState, path: Path, label: string): AnswerForm {
  const item = valueAt(state.form, path) as { name: string; label: string };
  const next = putAt(state.form, [...path, "label"], label);
  const others = listAt(state.form, path.slice(0, -1))
    .filter((other) => other !== item)
    .map((other) => (other as { name: string }).name);
  const follows = item.name === nameFrom(item.label, others);
  if (!follows || namesIn(state.saved).has(item.name)) return next;
  return putAt(next, [...path, "name"], nameFrom(label, others));
}

function namesIn(form: AnswerForm): Set<string> {
  const named = [...form.ratings, ...form.flags, ...form.questions];
  return new Set([...named, ...form.questions.flatMap(({ choices }) => choices)].map(({ name }) => name));
}

/**
 * The labels of the ratings, flags and questions that the project uses now but the edited form omits.
 * Existing answers keep their values for these items, but new answers do not contain such values.
 */
export function noLongerAsked({ saved, form }: EditorState): string[] {
  const kept = namesIn(form);
  return [...saved.ratings, ...saved.flags, ...saved.questions]
    .filter(({ name }) => !kept.has(name))
    .map(({ label }) => label);
}
