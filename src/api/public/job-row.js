import { callBlob, callJson } from './api.js';
import { openContract } from './contract-panel.js';
import { h, saveBlob } from './dom.js';
import { durationOf, FORMAT_NAMES, formatAge, isFinal, shortAddress } from './format.js';
import { button } from './image-card.js';
import { setProgress, statusBadge } from './job-progress.js';
import { cancelJob, jobTitle, retryJob } from './jobs.js';
import { problemView } from './problem.js';

/** One job in the table; it changes in place and keeps the focus. */
export class JobRow {
  element = h('tr', {});
  #job = null;
  #problem = null;
  #age;
  #duration;
  #onAction;

  /** @param {() => void} onAction - Called after something was done to the job. */
  constructor(job, onAction) {
    this.#onAction = onAction;
    this.show(job);
  }

  show(job) {
    if (this.#job !== null && this.#job.version >= job.version) return;
    this.#job = job;
    this.#problem = null;
    this.#draw();
  }

  tick() {
    this.#age.textContent = formatAge(this.#job.createdAt);
    if (!isFinal(this.#job)) this.#duration.textContent = durationOf(this.#job);
  }

  #draw() {
    const job = this.#job;
    const hadFocus = this.element.contains(document.activeElement);
    this.#age = h(
      'time',
      { datetime: job.createdAt, title: new Date(job.createdAt).toLocaleString() },
      formatAge(job.createdAt),
    );
    this.#duration = h('span', {}, durationOf(job));
    this.element.dataset.job = job.id;
    this.element.replaceChildren(
      h(
        'td.cell-job',
        {},
        h('span.job-about', {}, about(job)),
        h('span.job-sub', { title: job.id }, `${job.type} · …${job.id.slice(-8)}`),
      ),
      h('td.cell-status', {}, statusBadge(job), progressBar(job), this.#trouble()),
      h('td.cell-age', { 'data-label': 'Age' }, this.#age),
      h('td.cell-duration', { 'data-label': 'Ran for' }, this.#duration),
      h('td.cell-actions', {}, this.#actions()),
    );
    if (hadFocus) this.element.querySelector('button')?.focus();
  }

  #trouble() {
    if (this.#problem !== null) return problemView(this.#problem);
    const { error, status } = this.#job;
    if (error === null || status === 'SUCCESS') return null;
    return h('span.job-error', {}, h('code', {}, error.code), ` ${error.message}`);
  }

  #actions() {
    const job = this.#job;
    const of = { 'aria-label': about(job) };
    const make = (text, shape, work) => {
      const control = button(text, shape, () => this.#act(control, work));
      control.setAttribute('aria-label', `${text}: ${of['aria-label']}`);
      return control;
    };
    if (!isFinal(job)) {
      if (job.cancelRequested) return null;
      return make('Cancel', 'stop', () => cancelJob(job.id));
    }
    if (job.status !== 'SUCCESS') return make('Retry', 'turn', () => retryJob(job.id));
    if (job.type === 'contract-source') return make('View', 'file', () => openContract(job));
    return make('Result', 'down', () => download(job));
  }

  async #act(control, work) {
    control.disabled = true;
    try {
      await work();
      this.#onAction();
    } catch (error) {
      this.#problem = error;
      this.#draw();
    } finally {
      control.disabled = false;
    }
  }
}

function progressBar(job) {
  if (job.status !== 'PROCESS' || job.progress === null) return null;
  const bar = h('progress', { max: 1, 'aria-label': 'Progress' });
  setProgress(bar, job.progress.fraction);
  return bar;
}

/** What a job is about, as short as one can say it from its input. */
function about(job) {
  const { input } = job;
  const title = jobTitle(job.id);
  if (job.type === 'image-convert') {
    const width = input?.width === undefined ? '' : `, ${input.width} px`;
    return `${title ?? 'Picture'} → ${FORMAT_NAMES[input?.format] ?? input?.format}${width}`;
  }
  if (job.type === 'contract-source')
    return `${shortAddress(String(input?.address))} on chain ${input?.chainId}`;
  const text = JSON.stringify(input) ?? '';
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** Bytes under the name that the job gave them; a result without bytes as JSON. */
async function download(job) {
  const path = `/v1/jobs/${job.id}/result`;
  const blob = await callBlob(path);
  const name = job.type === 'image-convert' ? (await callJson(path)).name : `${job.id}.json`;
  saveBlob(blob, name);
}
