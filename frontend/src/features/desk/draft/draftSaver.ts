import { type ApiProblem, asProblem } from "@/api/problem";

export type SaveStatus =
  | { state: "saved" }
  | { state: "unsaved" }
  | { state: "saving" }
  /** The draft is only in this browser: the server is unreachable, and saving is retried. */
  | { state: "waiting"; problem: ApiProblem }
  /**
   * The draft is only in this browser. The server refused the draft, because a newer draft exists or the
   * lease has ended.
   */
  | { state: "refused"; problem: ApiProblem };

const DEFAULT_DELAY_MS = 800;
const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 30_000;

type Options<D> = {
  version: number;
  /** Sends one draft based on `version`; resolves to the new version. */
  send: (version: number, draft: D) => Promise<number>;
  /** Stores a copy in the browser before anything is sent. */
  keep: (version: number, draft: D) => void;
  onStatus: (status: SaveStatus) => void;
  delayMs?: number;
};

/**
 * Saves drafts automatically once the user stops making changes. Drafts are sent one at a time, based on the
 * last confirmed version. While the server is unreachable, saving is retried with growing delays. The newest
 * draft replaces older drafts.
 */
export class DraftSaver<D> {
  private readonly options: Options<D>;
  private version: number;
  private pending: D | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private sending: Promise<void> | undefined;
  private retryMs = FIRST_RETRY_MS;
  private over = false;

  constructor(options: Options<D>) {
    this.options = options;
    this.version = options.version;
  }

  change(draft: D): void {
    this.options.keep(this.version, draft);
    if (this.over) return;
    this.pending = draft;
    if (this.sending) return;
    this.options.onStatus({ state: "unsaved" });
    this.schedule(this.options.delayMs ?? DEFAULT_DELAY_MS);
  }

  /** Sends the pending draft; resolves when it is saved or refused, or when the server is unreachable. */
  async flush(): Promise<void> {
    clearTimeout(this.timer);
    if (this.sending) await this.sending;
    if (this.pending !== undefined && !this.over) await this.send();
  }

  /** Stops saving. Called when the answer is submitted, the task is skipped, or the user leaves the page. */
  stop(): void {
    this.over = true;
    clearTimeout(this.timer);
  }

  private schedule(delayMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.send(), delayMs);
  }

  private send(): Promise<void> {
    this.sending = this.sendPending().finally(() => {
      this.sending = undefined;
    });
    return this.sending;
  }

  private async sendPending(): Promise<void> {
    const draft = this.pending;
    if (draft === undefined) return;
    this.pending = undefined;
    this.options.onStatus({ state: "saving" });
    try {
      this.version = await this.options.send(this.version, draft);
      this.retryMs = FIRST_RETRY_MS;
      this.options.keep(this.version, this.pending ?? draft);
      if (this.over) return;
      if (this.pending === undefined) this.options.onStatus({ state: "saved" });
      else this.schedule(this.options.delayMs ?? DEFAULT_DELAY_MS);
    } catch (error) {
      if (!this.over) this.failed(asProblem(error), draft);
    }
  }

  private failed(problem: ApiProblem, draft: D): void {
    this.pending ??= draft;
    if (!problem.transient) {
      this.stop();
      this.options.onStatus({ state: "refused", problem });
      return;
    }
    this.options.onStatus({ state: "waiting", problem });
    this.schedule(this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, LAST_RETRY_MS);
  }
}
