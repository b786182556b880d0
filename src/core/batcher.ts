/** Options of a {@link Batcher}. */
export interface BatcherOptions<Item, Answer> {
  /**
   * Handles one batch and answers each item at its index; an `Error` in the answer rejects that item alone. When it
   * throws, the batch is halved until only the guilty item fails, unless `isIndivisible` says that halving is no help.
   */
  flush(items: Item[]): Promise<(Answer | Error)[]>;
  /** The most items of one batch. Defaults to 200. */
  maxItems?: number;
  /** How long the first item may wait for company. Defaults to 5 ms. */
  maxDelayMs?: number;
  /** Batches under way at once. Defaults to 2. */
  concurrency?: number;
  /** Items that may wait before `add` rejects with {@link BatcherFullError}. Defaults to 10,000. */
  maxQueued?: number;
  /** Errors that concern the whole batch (the database is away): every item is rejected with it. */
  isIndivisible?(error: unknown): boolean;
}

export class BatcherFullError extends Error {
  override name = 'BatcherFullError';
}

interface Waiting<Item, Answer> {
  item: Item;
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

/**
 * Gathers the items of concurrent callers into shared statements. A lone item waits `maxDelayMs` at most; under load
 * the batches grow by themselves while the earlier ones are under way.
 */
export class Batcher<Item, Answer> {
  readonly #options: Required<BatcherOptions<Item, Answer>>;
  #queue: Waiting<Item, Answer>[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running = 0;
  #idle: (() => void)[] = [];

  constructor(options: BatcherOptions<Item, Answer>) {
    this.#options = {
      maxItems: 200,
      maxDelayMs: 5,
      concurrency: 2,
      maxQueued: 10_000,
      isIndivisible: () => false,
      ...options,
    };
  }

  add(item: Item): Promise<Answer> {
    if (this.#queue.length >= this.#options.maxQueued) {
      return Promise.reject(new BatcherFullError('Too many requests are waiting'));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ item, resolve, reject });
      if (this.#queue.length >= this.#options.maxItems) this.#start();
      else this.#timer ??= setTimeout(() => this.#start(), this.#options.maxDelayMs);
    });
  }

  /** Resolves when nothing waits and nothing is under way. */
  async drain(): Promise<void> {
    this.#start();
    while (this.#running > 0 || this.#queue.length > 0) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#queue.length > 0 && this.#running < this.#options.concurrency) {
      const batch = this.#queue.splice(0, this.#options.maxItems);
      this.#running += 1;
      void this.#run(batch).finally(() => {
        this.#running -= 1;
        if (this.#queue.length > 0) this.#start();
        else for (const resolve of this.#idle.splice(0)) resolve();
      });
    }
  }

  async #run(batch: Waiting<Item, Answer>[]): Promise<void> {
    try {
      const answers = await this.#options.flush(batch.map((waiting) => waiting.item));
      batch.forEach((waiting, index) => {
        const answer = answers[index];
        if (answer instanceof Error) waiting.reject(answer);
        else waiting.resolve(answer as Answer);
      });
    } catch (error) {
      if (batch.length === 1 || this.#options.isIndivisible(error)) {
        for (const waiting of batch) waiting.reject(error);
        return;
      }
      const middle = Math.ceil(batch.length / 2);
      await this.#run(batch.slice(0, middle));
      await this.#run(batch.slice(middle));
    }
  }
}
