import { callJson, openEvents } from './api.js';
import { isFinal } from './format.js';
import { ApiProblem } from './problem.js';
import { readEvents } from './sse.js';

/**
 * All jobs that the page knows, one truth for cards and table: only a higher version replaces what is there, so that a
 * late answer never turns the clock back.
 */
const known = new Map();
const listeners = new Set();
/** What the page calls a job: the file's name, which the API does not repeat. */
const titles = new Map();
const MAX_KNOWN = 2_000;

export function putJob(job) {
  const before = known.get(job.id);
  if (before !== undefined && before.version >= job.version) return before;
  known.delete(job.id);
  known.set(job.id, job);
  if (known.size > MAX_KNOWN) known.delete(known.keys().next().value);
  for (const listener of listeners) listener(job);
  return job;
}

export function knownJob(id) {
  return known.get(id);
}

/** Calls `listener` with every job that changed; answers what ends it. */
export function onJob(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function nameJob(id, title) {
  titles.set(id, title);
}

export function jobTitle(id) {
  return titles.get(id) ?? null;
}

export async function cancelJob(id) {
  return putJob(await callJson(`/v1/jobs/${id}`, { method: 'DELETE' }));
}

export async function retryJob(id) {
  return putJob(await callJson(`/v1/jobs/${id}:retry`, { method: 'POST' }));
}

/** A browser opens six connections to a host: streams take three of them at most, other jobs are polled. */
const MAX_STREAMS = 3;
/** The server sends a sign of life every 15 s; a stream that is silent for longer is dead or held up by a proxy. */
const SILENCE_MS = 25_000;
const POLL_MS = 1_000;
const MAX_WAIT_MS = 8_000;
let streams = 0;

/** Follows a job to its end and resolves to it: by its event stream, by polling whenever that is cut or not to be had. */
export async function followJob(id, signal) {
  let after = known.get(id)?.version ?? 0;
  let waitMs = POLL_MS;
  for (;;) {
    after = Math.max(after, await streamEvents(id, after, signal));
    try {
      const job = putJob(await callJson(`/v1/jobs/${id}`, { signal }));
      if (isFinal(job)) return job;
      waitMs = POLL_MS;
    } catch (error) {
      if (signal.aborted || (error instanceof ApiProblem && isHopeless(error))) throw error;
      waitMs = Math.min(waitMs * 2, MAX_WAIT_MS);
    }
    await wait(waitMs, signal);
  }
}

function isHopeless({ status }) {
  return status === 401 || status === 403 || status === 404;
}

/** Resolves to the number of the last event seen, when the stream has ended for whatever reason. */
async function streamEvents(id, after, signal) {
  if (streams >= MAX_STREAMS) return after;
  streams += 1;
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE_MS);
  let last = after;
  try {
    const response = await openEvents(id, after, AbortSignal.any([signal, silence.signal]));
    if (response.status !== 200) return last;
    for await (const event of readEvents(response.body)) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE_MS);
      if (event.data === null) continue;
      last = Math.max(last, event.id);
      await applyEvent(id, event, signal);
    }
  } catch {
    // Cut off: the caller polls and comes back after the last event.
  } finally {
    clearTimeout(timer);
    streams -= 1;
  }
  return last;
}

/** Progress is in the event itself; anything else is read from the job, which may be a moment behind its event. */
async function applyEvent(id, { id: version, event, data }, signal) {
  const job = known.get(id);
  if (job !== undefined && event === 'progress') {
    putJob({
      ...job,
      version,
      status: 'PROCESS',
      progress: { fraction: data.fraction, message: data.message },
    });
    return;
  }
  for (let attempt = 0; (known.get(id)?.version ?? 0) < version && attempt < 5; attempt += 1) {
    if (attempt > 0) await wait(150, signal);
    putJob(await callJson(`/v1/jobs/${id}`, { signal }));
  }
}

function wait(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });
}
