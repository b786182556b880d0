import { h, icon } from './dom.js';
import { isFinal, STATUS, statusWord } from './format.js';

/** A status in colour, shape and words. */
export function statusBadge(job) {
  const { tone, icon: shape } = STATUS[job.status];
  return h(`span.status.status-${tone}`, {}, icon(shape), h('span', {}, statusWord(job)));
}

/** What is happening to a job right now, as one short sentence. */
export function progressSentence(job) {
  if (isFinal(job)) return statusWord(job);
  if (job.cancelRequested) return 'Stopping…';
  if (job.runAt !== null && job.failures > 0) {
    const seconds = Math.max(1, Math.round((Date.parse(job.runAt) - Date.now()) / 1_000));
    return `${job.error?.message ?? 'That did not work'}. Next try in ${seconds} s`;
  }
  if (job.status === 'CREATED') return 'Accepted, waiting for a worker';
  return job.progress?.message ? `${job.progress.message}…` : 'Running…';
}

/** Sets a progress bar: a number is drawn, null is "under way, nobody knows how far". */
export function setProgress(bar, fraction) {
  if (fraction === null) bar.removeAttribute('value');
  else bar.value = fraction;
}

/** The error of a job in the form of a problem. */
export function jobProblem(job) {
  if (job.error === null) return null;
  return { code: job.error.code, title: job.error.code, detail: job.error.message };
}
