import { callJson } from './api.js';
import { byId, h } from './dom.js';
import { formatAge, STATUS } from './format.js';
import { button } from './image-card.js';
import { JobRow } from './job-row.js';
import { knownJob, onJob, putJob } from './jobs.js';
import { problemView } from './problem.js';

const POLL_MS = 2_500;
const MAX_POLL_MS = 8_000;
const PAGE = 15;
const MAX_ROWS = 150;

/**
 * The live table of recent jobs. Loading, empty, filtered out and failed are four different pictures: an error must
 * never look like "no jobs".
 */
export class JobsTable {
  #rows = new Map();
  #order = [];
  #status = '';
  #limit = PAGE;
  #more = false;
  #loadedAt = null;
  #problem = null;
  #failures = 0;
  #timer;
  /** Grows with each question: an answer to an older one is not shown under a newer filter. */
  #asked = 0;

  start() {
    this.#status = statusOfAddress();
    for (const radio of byId('jobs-filter').querySelectorAll('input')) {
      radio.checked = radio.value === this.#status;
    }
    byId('jobs-filter').addEventListener('change', (event) => this.#filter(event.target.value));
    byId('jobs-more').addEventListener('click', () => {
      this.#limit = Math.min(this.#limit + PAGE, MAX_ROWS);
      void this.refresh();
    });
    onJob((job) => this.#rows.get(job.id)?.show(job));
    document.addEventListener('visibilitychange', () => void this.refresh());
    setInterval(() => this.#tick(), 1_000);
    this.#draw();
    void this.refresh();
  }

  /** Asks for the list now, and again after a while; in a hidden tab only when it is seen again. */
  async refresh() {
    clearTimeout(this.#timer);
    if (document.hidden) return;
    this.#asked += 1;
    const asked = this.#asked;
    const status = this.#status === '' ? '' : `&status=${this.#status}`;
    try {
      const page = await callJson(`/v1/jobs?limit=${this.#limit}${status}`);
      if (asked !== this.#asked) return;
      this.#order = page.jobs.map((job) => putJob(job).id);
      this.#more = page.nextCursor !== null && this.#limit < MAX_ROWS;
      this.#loadedAt = Date.now();
      this.#problem = null;
      this.#failures = 0;
    } catch (error) {
      if (asked !== this.#asked) return;
      this.#problem = error;
      this.#failures += 1;
    }
    this.#draw();
    // Without a key there is nothing to poll for: it begins again when one is entered.
    if (this.#problem?.status === 401) return;
    const waitMs = Math.min(POLL_MS * 2 ** this.#failures, MAX_POLL_MS);
    this.#timer = setTimeout(
      () => void this.refresh(),
      Math.max(waitMs, (this.#problem?.retryAfterSeconds ?? 0) * 1_000),
    );
  }

  #filter(status) {
    this.#status = status;
    this.#limit = PAGE;
    this.#order = [];
    this.#loadedAt = null;
    this.#problem = null;
    const url = new URL(location.href);
    url.hash = status === '' ? '' : `status=${status}`;
    history.replaceState(null, '', url);
    this.#draw();
    void this.refresh();
  }

  #state() {
    if (this.#problem !== null) return this.#order.length > 0 ? 'stale' : 'failed';
    if (this.#loadedAt === null) return 'loading';
    if (this.#order.length > 0) return 'list';
    return this.#status === '' ? 'empty' : 'filtered';
  }

  #draw() {
    const state = this.#state();
    byId('jobs').dataset.state = state;
    byId('jobs').setAttribute('aria-busy', String(state === 'loading'));
    byId('jobs-table').hidden = state !== 'list' && state !== 'stale';
    byId('jobs-more').hidden = !this.#more || this.#order.length === 0;
    byId('jobs-skeleton').hidden = state !== 'loading';
    this.#drawRows();
    this.#drawNote(state);
  }

  #drawRows() {
    const body = byId('jobs-table').tBodies[0];
    for (const [id, row] of this.#rows) {
      if (this.#order.includes(id)) continue;
      row.element.remove();
      this.#rows.delete(id);
    }
    this.#order.forEach((id, index) => {
      const job = knownJob(id);
      const row = this.#rows.get(id) ?? new JobRow(job, () => void this.refresh());
      this.#rows.set(id, row);
      row.show(job);
      // Moved only when it is elsewhere: moving an element takes the focus away from it.
      if (body.rows[index] !== row.element) body.insertBefore(row.element, body.rows[index] ?? null);
    });
  }

  #drawNote(state) {
    const key = `${state} ${this.#status} ${this.#problem?.message ?? ''}`;
    const note = byId('jobs-note');
    if (note.dataset.key === key) return;
    note.dataset.key = key;
    note.replaceChildren(...this.#note(state));
  }

  #note(state) {
    if (state === 'failed' || state === 'stale') {
      const again = button('Try again', 'turn', () => void this.refresh());
      const since =
        state === 'stale'
          ? [
              h(
                'p.stale-note',
                {},
                `Below is what was known ${formatAge(new Date(this.#loadedAt).toISOString())}.`,
              ),
            ]
          : [];
      return [problemView(this.#problem, again), ...since];
    }
    if (state === 'empty') {
      return [
        picture(
          'empty',
          'The quay is empty',
          'No job was submitted yet. Convert a picture or load a contract above: it appears here at once.',
        ),
      ];
    }
    if (state !== 'filtered') return [];
    const all = button('Show all jobs', 'list', () => {
      const radio = byId('jobs-filter').querySelector('input[value=""]');
      radio.checked = true;
      radio.focus();
      this.#filter('');
    });
    return [
      picture(
        'filtered',
        `No job is “${STATUS[this.#status].word.toLowerCase()}”`,
        'There may be jobs that this filter hides.',
        all,
      ),
    ];
  }

  #tick() {
    for (const row of this.#rows.values()) row.tick();
  }
}

function picture(kind, title, text, action = null) {
  return h(`div.picture.picture-${kind}`, {}, h('p.picture-title', {}, title), h('p', {}, text), action);
}

/** The filter is in the address, so that a link shows the same. */
function statusOfAddress() {
  const status = new URLSearchParams(location.hash.slice(1)).get('status') ?? '';
  return Object.hasOwn(STATUS, status) ? status : '';
}
