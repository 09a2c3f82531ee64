import type { FieldError } from "@/api/problem";
import { ApiProblem } from "@/api/problem";
import type { Answer, Assignment } from "@/api/types";

/** An answer that is waiting to be sent or that the server has refused. */
export type Unsent = {
  /** Also serves as the idempotency key: the answer counts only once, even if several tabs send it repeatedly. */
  readonly key: string;
  readonly slug: string;
  readonly how: "submit" | "revise";
  readonly answer: Answer;
  /**
   * The task as shown, stored so that the desk can reopen the answer. Null if the browser's storage had no
   * room for the task.
   */
  readonly assignment: Assignment | null;
  readonly assignmentId: string;
  readonly at: number;
  readonly refusal: Refusal | null;
};

/** An ApiProblem in a form that can be stored. */
type Refusal = { status: number; title: string; detail: string; errors: FieldError[]; type: string };

export function asRefusal({ status, title, detail, errors, type }: ApiProblem): Refusal {
  return { status, title, detail, errors, type };
}

export function asProblemAgain({ status, title, detail, errors, type }: Refusal): ApiProblem {
  return new ApiProblem(status, title, detail, errors, type);
}

/**
 * Storage for unsent answers of one user. Another user of the same browser neither sees nor sends these
 * answers.
 */
export interface UnsentStore {
  /** The unsent answers, oldest first. */
  all(): readonly Unsent[];
  /** Stores the answer. Returns false if the answer is kept only until this page is closed. */
  put(entry: Unsent): boolean;
  remove(key: string): void;
  /** Calls the given function when another tab changes an entry. */
  onElsewhere(listener: () => void): () => void;
}

const PREFIX = "rankloop.outbox.";

/**
 * Whether any user has unsent answers in this browser. The check must be cheap, because it runs whenever a
 * page is opened.
 */
export function anyUnsent(): boolean {
  try {
    return Object.keys(localStorage).some((key) => key.startsWith(PREFIX));
  } catch {
    return false;
  }
}

/**
 * Stores entries in localStorage, which outlives the tab and is shared by all tabs. If an entry does not fit,
 * it is kept in memory.
 */
export class BrowserStore implements UnsentStore {
  private readonly prefix: string;
  private readonly memory = new Map<string, Unsent>();

  constructor(user: string) {
    this.prefix = `${PREFIX}${user}.`;
  }

  all(): readonly Unsent[] {
    const found = new Map(this.memory);
    try {
      for (const name of Object.keys(localStorage)) {
        if (!name.startsWith(this.prefix)) continue;
        const entry = read(localStorage.getItem(name));
        if (entry) found.set(entry.key, entry);
      }
    } catch {
      // Storage is disabled, so only memory is available.
    }
    return [...found.values()].sort((a, b) => a.at - b.at);
  }

  put(entry: Unsent): boolean {
    for (const kept of [entry, { ...entry, assignment: null }]) {
      try {
        localStorage.setItem(this.prefix + entry.key, JSON.stringify(kept));
        this.memory.delete(entry.key);
        return true;
      } catch {
        // Storage is disabled or full. The second attempt omits `assignment`.
      }
    }
    this.memory.set(entry.key, entry);
    return false;
  }

  remove(key: string): void {
    this.memory.delete(key);
    try {
      localStorage.removeItem(this.prefix + key);
    } catch {
      // Storage is disabled, so there is nothing to remove.
    }
  }

  onElsewhere(listener: () => void): () => void {
    const changed = ({ key }: StorageEvent) => {
      if (key === null || key.startsWith(this.prefix)) listener();
    };
    window.addEventListener("storage", changed);
    return () => window.removeEventListener("storage", changed);
  }
}

function read(text: string | null): Unsent | null {
  try {
    const entry: unknown = text ? JSON.parse(text) : null;
    if (typeof entry !== "object" || entry === null) return null;
    const { key, assignmentId, answer } = entry as Partial<Unsent>;
    const whole = typeof key === "string" && typeof assignmentId === "string" && typeof answer === "object";
    return whole ? (entry as Unsent) : null;
  } catch {
    return null;
  }
}
