import { type ApiProblem, asProblem } from "@/api/problem";
import type { Answer, Assignment } from "@/api/types";
import { uuid } from "@/shared/uuid";
import { asRefusal, type Unsent, type UnsentStore } from "./store";

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 20_000;
/** Interval at which this tab checks whether another tab has finished sending. */
const LOOK_AGAIN_MS = 1_000;

export type OutboxState = {
  /**
   * Submitted answers that the server has neither accepted nor refused. The first of these answers is being
   * sent or is waiting for the next attempt.
   */
  readonly queued: readonly Unsent[];
  readonly refused: readonly Unsent[];
  /** The reason why the first answer is waiting; null if it is being sent or the outbox is empty. */
  readonly held: ApiProblem | null;
  /** Whether the session has expired. After it has expired, nothing is sent until the next login. */
  readonly loggedOut: boolean;
  /**
   * False if the browser cannot store data. In this case, the unsent answers are lost when the page is
   * closed.
   */
  readonly kept: boolean;
};

type Options = {
  store: UnsentStore;
  send: (entry: Unsent) => Promise<void>;
  /** Runs `work` unless another tab is already running it. Resolves to true if this tab ran `work`. */
  alone?: ((work: () => Promise<void>) => Promise<boolean>) | undefined;
  now?: () => number;
};

/**
 * The queue of submitted answers. Each answer is stored before it is sent. Answers are sent one at a time, in
 * the order of submission. Each answer is retried until the server accepts or refuses it. A reload, a lost
 * connection or an expired session only delays the answers.
 */
export class Outbox {
  private readonly options: Options;
  private readonly listeners = new Set<() => void>();
  private readonly onSettled = new Set<(entry: Unsent) => void>();
  private readonly stopWatching: () => void;
  private readonly unkept = new Set<string>();
  private entries: readonly Unsent[];
  private snapshot: OutboxState;
  private held: ApiProblem | null = null;
  private loggedOut = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running = false;
  private again = false;
  private retryMs = FIRST_RETRY_MS;
  private over = false;
  private lastAt = 0;

  constructor(options: Options) {
    this.options = options;
    this.entries = options.store.all();
    this.snapshot = this.see();
    this.stopWatching = options.store.onElsewhere(() => this.reload());
  }

  getState = (): OutboxState => this.snapshot;

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /**
   * Calls `listener` with the outcome whenever the server accepts or refuses an answer from this tab. Returns a
   * function that removes the listener.
   */
  whenSettled(listener: (entry: Unsent) => void): () => void {
    this.onSettled.add(listener);
    return () => this.onSettled.delete(listener);
  }

  /** Stores the answer, then sends it. Returns the answer's key. */
  add(slug: string, assignment: Assignment, how: Unsent["how"], answer: Answer): string {
    const key = uuid();
    this.lastAt = Math.max(this.lastAt + 1, (this.options.now ?? Date.now)());
    this.put({
      key,
      slug,
      how,
      answer,
      assignment,
      assignmentId: assignment.id,
      at: this.lastAt,
      refusal: null,
    });
    // While the server is unreachable, the new answer waits with the other answers for the next attempt.
    if (!this.running && this.timer === undefined) void this.run();
    return key;
  }

  /** Removes a refused answer that was reopened or discarded. */
  drop(key: string): void {
    this.options.store.remove(key);
    this.reload();
  }

  /**
   * Sends a refused answer under the task's new lease. A new request is needed, because the refusal of the
   * earlier request is final.
   */
  sendUnder(key: string, token: string): void {
    const entry = this.entries.find((one) => one.key === key);
    if (!entry) return;
    this.options.store.remove(key);
    this.put({ ...entry, key: uuid(), answer: { ...entry.answer, token }, how: "submit", refusal: null });
    this.kick();
  }

  /**
   * Sends the answers immediately. Called when the connection is restored, after a login, and by the “Send now”
   * button.
   */
  kick(): void {
    this.loggedOut = false;
    this.retryMs = FIRST_RETRY_MS;
    void this.run();
  }

  stop(): void {
    this.over = true;
    this.unschedule();
    this.stopWatching();
  }

  private put(entry: Unsent): void {
    if (this.options.store.put(entry)) this.unkept.delete(entry.key);
    else this.unkept.add(entry.key);
    this.reload();
  }

  private reload(): void {
    this.entries = this.options.store.all();
    this.tell();
  }

  private tell(): void {
    this.snapshot = this.see();
    for (const listener of this.listeners) listener();
  }

  private see(): OutboxState {
    const queued = this.entries.filter(({ refusal }) => refusal === null);
    return {
      queued,
      refused: this.entries.filter(({ refusal }) => refusal !== null),
      held: queued.length > 0 ? this.held : null,
      loggedOut: queued.length > 0 && this.loggedOut,
      kept: !this.entries.some(({ key }) => this.unkept.has(key)),
    };
  }

  private first(): Unsent | undefined {
    // Another tab may have sent the answer in the meantime.
    this.entries = this.options.store.all();
    return this.entries.find(({ refusal }) => refusal === null);
  }

  private async run(): Promise<void> {
    this.unschedule();
    if (this.running) {
      this.again = true;
      return;
    }
    this.running = true;
    const alone = this.options.alone ?? withoutOthers;
    const ran = await alone(() => this.sendAll());
    this.running = false;
    this.tell();
    // An answer may have been added after the last answer was sent but before `sendAll` ended.
    const more = ran && this.held === null && !this.over && this.first() !== undefined;
    if (this.again || more) {
      this.again = false;
      void this.run();
    } else if (!ran) {
      this.schedule(LOOK_AGAIN_MS);
    }
  }

  private async sendAll(): Promise<void> {
    for (let entry = this.first(); entry && !this.over; entry = this.first()) {
      try {
        await this.options.send(entry);
      } catch (error) {
        const problem = asProblem(error);
        if (!this.failed(entry, problem)) return;
        continue;
      }
      this.held = null;
      this.retryMs = FIRST_RETRY_MS;
      this.options.store.remove(entry.key);
      this.reload();
      this.settled(entry);
    }
  }

  /** Returns whether to continue with the next answer. */
  private failed(entry: Unsent, problem: ApiProblem): boolean {
    this.loggedOut = problem.status === 401;
    if (problem.transient || this.loggedOut) {
      this.held = problem;
      if (!this.loggedOut) this.schedule(this.retryMs);
      this.retryMs = Math.min(this.retryMs * 2, LAST_RETRY_MS);
      return false;
    }
    this.held = null;
    // If the refused answer has already been revised, the revision is submitted in its place.
    const later = this.entries.find(
      (one) => one.assignmentId === entry.assignmentId && one.at > entry.at && one.refusal === null,
    );
    if (entry.how === "submit" && later) {
      this.options.store.remove(entry.key);
      this.put({ ...later, how: "submit", answer: { ...later.answer, token: entry.answer.token } });
    } else {
      const refused = { ...entry, refusal: asRefusal(problem) };
      this.put(refused);
      this.settled(refused);
    }
    return true;
  }

  private settled(entry: Unsent): void {
    for (const listener of this.onSettled) listener(entry);
  }

  private schedule(delayMs: number): void {
    this.unschedule();
    if (!this.over) this.timer = setTimeout(() => void this.run(), delayMs);
  }

  private unschedule(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

async function withoutOthers(work: () => Promise<void>): Promise<boolean> {
  await work();
  return true;
}
