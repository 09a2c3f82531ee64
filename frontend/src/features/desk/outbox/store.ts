import type { FieldError } from "@/api/problem";
import { ApiProblem } from "@/api/problem";
import type { Answer, Assignment } from "@/api/types";

/** An answer that the server has not confirmed yet, or that it refused. */
export type Unsent = {
  /** Also the idempotency key: however often and from however many tabs it goes out, it counts once. */
  readonly key: string;
  readonly slug: string;
  readonly how: "submit" | "revise";
  readonly answer: Answer;
  /** What was shown, for the way back to the answer; null where the browser had no room for it. */
  readonly assignment: Assignment | null;
  readonly assignmentId: string;
  readonly at: number;
  readonly refusal: Refusal | null;
};

/** An ApiProblem as it can be kept. */
type Refusal = { status: number; title: string; detail: string; errors: FieldError[]; type: string };

export function asRefusal({ status, title, detail, errors, type }: ApiProblem): Refusal {
  return { status, title, detail, errors, type };
}

export function asProblemAgain({ status, title, detail, errors, type }: Refusal): ApiProblem {
  return new ApiProblem(status, title, detail, errors, type);
}

/** Where unsent answers lie. One person's: whoever logs in after them on this browser neither sees nor sends theirs. */
export interface UnsentStore {
  /** Oldest first. */
  all(): readonly Unsent[];
  /** False: it is kept only until this page is closed. */
  put(entry: Unsent): boolean;
  remove(key: string): void;
  /** Calls back when another tab has changed something. */
  onElsewhere(listener: () => void): () => void;
}

const PREFIX = "rankloop.outbox.";

/** Whether anything waits in this browser, whoever it is of. Cheap: asked at the start of every page. */
export function anyUnsent(): boolean {
  try {
    return Object.keys(localStorage).some((key) => key.startsWith(PREFIX));
  } catch {
    return false;
  }
}

/** In localStorage, which outlives the tab and is shared by all of them; in memory what does not fit there. */
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
      // Storage is switched off: what is in memory is all there is.
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
        // Full, perhaps only for what was shown; or switched off.
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
      // Switched off: it was never there.
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
