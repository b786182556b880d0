/** What demos and measurements read of a job over REST. */
export interface ListedJob {
  id: string;
  type: string;
  status: 'CREATED' | 'PROCESS' | 'SUCCESS' | 'ERROR' | 'CANCELLED';
  attempt: number;
  failures: number;
  createdAt: string;
  admittedAt: string | null;
  startedAt: string | null;
  finishedAt: string | null;
}

interface Page {
  jobs: ListedJob[];
  nextCursor: string | null;
}

const PAGE = 500;

/** Calls of the API as one client of a namespace. Each has a deadline; other answers than 2xx reject. */
export class JobsApi {
  readonly #url: string;
  readonly #token: string;

  constructor({ url, token }: { url: string; token: string }) {
    this.#url = url;
    this.#token = token;
  }

  async call<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const answer = await fetch(`${this.#url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${text}`);
    return JSON.parse(text) as Answer;
  }

  /** All jobs that were created since, the newest first. */
  async jobsSince(sinceMs: number, query: Readonly<Record<string, string>> = {}): Promise<ListedJob[]> {
    const jobs: ListedJob[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const parameters: string = new URLSearchParams({
        ...query,
        limit: String(PAGE),
        ...(cursor === '' ? {} : { cursor }),
      }).toString();
      const page: Page = await this.call<Page>('GET', `/v1/jobs?${parameters}`);
      const young = page.jobs.filter(({ createdAt }) => Date.parse(createdAt) >= sinceMs);
      jobs.push(...young);
      cursor = young.length < page.jobs.length ? null : page.nextCursor;
    }
    return jobs;
  }

  /** Whether any job of the namespace is unfinished. */
  async isBusy(): Promise<boolean> {
    const pages = await Promise.all(
      ['CREATED', 'PROCESS'].map((status) => this.call<Page>('GET', `/v1/jobs?status=${status}&limit=1`)),
    );
    return pages.some(({ jobs }) => jobs.length > 0);
  }
}
