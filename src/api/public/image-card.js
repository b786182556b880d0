import { callBlob, callJson, randomKey, uploadImage } from './api.js';
import { announce, h, icon, saveBlob } from './dom.js';
import { FORMAT_NAMES, formatBytes, isFinal } from './format.js';
import { jobProblem, progressSentence, setProgress, statusBadge } from './job-progress.js';
import { cancelJob, followJob, knownJob, nameJob, onJob, putJob, retryJob } from './jobs.js';
import { ApiProblem, problemView } from './problem.js';

/** Larger results are fetched when somebody asks for them, not for a thumbnail. */
const MAX_THUMBNAIL_BYTES = 20_000_000;
/** What browsers cannot draw. */
const NOT_DRAWABLE = new Set(['tiff']);

/** One picture on its way: upload, job, result. */
export class ImageCard {
  element;
  #file;
  #options;
  #parts;
  #abort = new AbortController();
  #idempotencyKey = randomKey();
  #jobId = null;

  constructor(file, options) {
    this.#file = file;
    this.#options = options;
    const picture = h('img', { alt: '' });
    this.#parts = {
      frame: h('div.thumb', {}, picture),
      state: h('div.card-state', {}),
      bar: h('progress', { max: 1, 'aria-label': `Progress of ${file.name}` }),
      body: h('div.card-body', {}),
      actions: h('div.card-actions', {}),
    };
    this.#parts.state.textContent = 'In line for the upload';
    this.#show(picture, file);
    this.element = h(
      'li.card',
      { 'data-file': file.name },
      this.#parts.frame,
      h(
        'div.card-main',
        {},
        h('p.card-title', { title: file.name }, file.name),
        this.#parts.state,
        this.#parts.bar,
        this.#parts.body,
      ),
      this.#parts.actions,
    );
  }

  /** Begins; `uploaded` settles when the upload is through or has failed. What goes wrong is shown on the card. */
  start() {
    const uploaded = this.#upload();
    const ended = uploaded.then((accepted) => (accepted ? this.#follow() : undefined));
    return { uploaded, ended };
  }

  /** Whether the picture became a job. */
  async #upload() {
    const { bar, body } = this.#parts;
    body.replaceChildren();
    this.#abort = new AbortController();
    this.#sayState('Uploading…');
    this.#offer(button('Stop', 'stop', () => this.#abort.abort()));
    try {
      const job = await uploadImage(this.#form(), {
        key: this.#idempotencyKey,
        signal: this.#abort.signal,
        onProgress: (fraction) => {
          setProgress(bar, fraction * 0.5);
          this.#sayState(fraction < 1 ? `Uploading, ${Math.round(fraction * 100)} %` : 'Storing…');
        },
      });
      this.#jobId = job.id;
      nameJob(job.id, this.#file.name);
      putJob(job);
      announce(`${this.#file.name} is uploaded and waits for a worker`);
      return true;
    } catch (error) {
      this.#fail(error, () => this.start());
      return false;
    }
  }

  async #follow() {
    const stop = onJob((job) => job.id === this.#jobId && this.#draw(job));
    this.#abort = new AbortController();
    this.#draw(knownJob(this.#jobId));
    try {
      const job = await followJob(this.#jobId, this.#abort.signal);
      this.#draw(job);
      announce(`${this.#file.name}: ${progressSentence(job)}`);
      if (job.status === 'SUCCESS') await this.#showResult();
    } catch (error) {
      this.#fail(error, () => this.#follow());
    } finally {
      stop();
    }
  }

  #form() {
    const form = new FormData();
    for (const [name, value] of Object.entries(this.#options)) form.append(name, String(value));
    form.append('file', this.#file);
    return form;
  }

  #draw(job) {
    const { bar, body, state } = this.#parts;
    bar.hidden = isFinal(job);
    setProgress(bar, job.status === 'PROCESS' ? 0.5 + (job.progress?.fraction ?? 0) / 2 : 0.5);
    if (!isFinal(job)) {
      this.#sayState(progressSentence(job));
      this.#offer(
        button('Cancel', 'stop', (event) => this.#cancel(event.currentTarget), job.cancelRequested),
      );
      return;
    }
    state.replaceChildren(statusBadge(job));
    this.#offer();
    if (job.status === 'SUCCESS') return;
    const problem = jobProblem(job);
    body.replaceChildren(...(problem === null ? [] : [problemView(new ApiProblem(problem))]));
    this.#offer(button('Retry', 'turn', (event) => this.#retry(event.currentTarget)));
  }

  async #cancel(control) {
    control.disabled = true;
    try {
      await cancelJob(this.#jobId);
    } catch (error) {
      control.disabled = false;
      this.#parts.body.replaceChildren(problemView(error));
    }
  }

  async #retry(control) {
    control.disabled = true;
    try {
      await retryJob(this.#jobId);
      this.#parts.body.replaceChildren();
      await this.#follow();
    } catch (error) {
      control.disabled = false;
      this.#parts.body.replaceChildren(problemView(error));
    }
  }

  async #showResult() {
    const path = `/v1/jobs/${this.#jobId}/result`;
    const result = await callJson(path);
    const { body, frame, state } = this.#parts;
    body.replaceChildren(comparison(result));
    state.append(change(result));
    const small = result.bytes <= MAX_THUMBNAIL_BYTES;
    const bytes = small ? await callBlob(path) : null;
    this.#offer(
      button(
        'Download',
        'down',
        async () => saveBlob(bytes ?? (await callBlob(path)), result.name),
        false,
        'primary',
      ),
    );
    if (bytes === null || NOT_DRAWABLE.has(result.format)) {
      frame.replaceChildren(h('span.thumb-word', {}, result.format));
      return;
    }
    const picture = h('img', { alt: `Result: ${result.name}` });
    this.#show(picture, bytes);
    frame.replaceChildren(picture);
    frame.classList.add('thumb-result');
  }

  /** Draws a blob; what cannot be drawn leaves the frame with a word instead of a broken picture. */
  #show(picture, blob) {
    const url = URL.createObjectURL(blob);
    picture.addEventListener('load', () => URL.revokeObjectURL(url), { once: true });
    picture.addEventListener('error', () => picture.replaceWith(h('span.thumb-word', {}, 'no preview')), {
      once: true,
    });
    picture.src = url;
  }

  #sayState(text) {
    this.#parts.state.textContent = text;
  }

  #offer(...buttons) {
    // A button that is there already keeps the focus.
    const { actions } = this.#parts;
    const same = buttons.length === 1 && actions.firstElementChild?.textContent === buttons[0].textContent;
    if (same && actions.firstElementChild.disabled === buttons[0].disabled) return;
    const hadFocus = actions.contains(document.activeElement);
    actions.replaceChildren(...buttons);
    if (hadFocus) buttons[0]?.focus();
  }

  #fail(error, again) {
    const { bar, body, state } = this.#parts;
    bar.hidden = true;
    state.replaceChildren();
    body.replaceChildren(problemView(error));
    announce(`${this.#file.name}: ${error.title ?? 'failed'}`);
    this.#offer(
      button('Try again', 'turn', () => {
        bar.hidden = false;
        again();
      }),
    );
  }
}

export function button(text, shape, onclick, disabled = false, ...classes) {
  const control = h(['button', ...classes].join('.'), { type: 'button', onclick }, icon(shape), text);
  control.disabled = disabled;
  return control;
}

/** Before and after, in numbers and as two bars. */
function comparison({ source, ...result }) {
  const largest = Math.max(result.bytes, source.bytes);
  const row = (word, of) =>
    h(
      'div.compare-row',
      {},
      h('dt', {}, word),
      h(
        'dd',
        {},
        h(`meter.compare-bar.${word}`, { min: 0, max: largest, value: of.bytes, 'aria-hidden': 'true' }),
        h('span.compare-size', {}, formatBytes(of.bytes)),
        h('span.compare-shape', {}, `${of.width} × ${of.height} ${FORMAT_NAMES[of.format]}`),
      ),
    );
  return h('dl.compare', {}, row('before', source), row('after', result));
}

function change({ bytes, source }) {
  const percent = Math.round((bytes / source.bytes - 1) * 100);
  const text = percent === 0 ? 'same size' : `${Math.abs(percent)} % ${percent < 0 ? 'smaller' : 'larger'}`;
  return h(`span.change.${percent < 0 ? 'smaller' : 'larger'}`, {}, text);
}
