import { ApiProblem, toProblem, unreachable } from './problem.js';

/** No call waits longer for its answer to begin; uploads and event streams have rules of their own. */
const CALL_TIMEOUT_MS = 30_000;

/** In this variable and nowhere else: not stored, not in an address. Gone with the page. */
let apiKey = null;
let askForKey = async () => false;
let onReachable = () => {};

/**
 * @param {object} hooks
 * @param {() => Promise<boolean>} hooks.askForKey - Called when a key is missing or wrong; true: try again.
 * @param {(reachable: boolean) => void} hooks.onReachable - Called after every call.
 */
export function configureApi(hooks) {
  askForKey = hooks.askForKey;
  onReachable = hooks.onReachable;
}

export function setApiKey(key) {
  apiKey = key;
}

function withKey(headers) {
  return apiKey === null ? headers : { ...headers, Authorization: `Bearer ${apiKey}` };
}

/** Random, for `Idempotency-Key`: a request sent twice makes one job. (`randomUUID` exists on secure origins only.) */
export function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}

/** One call of the public API; throws an {@link ApiProblem}. Asks for a key once when the server wants one. */
export async function call(
  path,
  { method = 'GET', headers = {}, body, signal, timeoutMs = CALL_TIMEOUT_MS } = {},
) {
  const usedKey = apiKey;
  const response = await send(path, { method, headers: withKey(headers), body }, signal, timeoutMs);
  if (response.ok) return response;
  const problem = toProblem(response.status, await response.text(), response.headers.get('Retry-After'));
  if (problem.status === 401 && (usedKey !== apiKey || (await askForKey()))) {
    return call(path, { method, headers, body, signal, timeoutMs });
  }
  throw problem;
}

async function send(path, init, signal, timeoutMs) {
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(path, {
      ...init,
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    onReachable(true);
    return response;
  } catch (error) {
    if (signal?.aborted) throw error;
    onReachable(false);
    throw unreachable();
  }
}

export async function callJson(path, options = {}) {
  const { json, headers = {}, ...rest } = options;
  const response = await call(path, {
    ...rest,
    headers: {
      Accept: 'application/json',
      ...headers,
      ...(json === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
  });
  return response.json();
}

/** A file of any size, as a blob for a preview or a download. */
export async function callBlob(path, headers = {}) {
  const response = await call(path, { headers, timeoutMs: 10 * 60_000 });
  return response.blob();
}

/** Opens the events of a job after the event `after`; for {@link readEvents}. */
export function openEvents(id, after, signal) {
  return fetch(`/v1/jobs/${id}/events`, {
    headers: withKey({
      Accept: 'text/event-stream',
      ...(after > 0 ? { 'Last-Event-ID': String(after) } : {}),
    }),
    signal,
    cache: 'no-store',
  });
}

/**
 * Uploads a picture; resolves to its job. XMLHttpRequest, because fetch does not tell how far an upload is.
 * @param {FormData} form
 * @param {{key: string, signal: AbortSignal, onProgress: (fraction: number) => void}} options
 */
export async function uploadImage(form, options) {
  const usedKey = apiKey;
  const { status, text, retryAfter } = await sendForm(form, options);
  if (status === 200 || status === 201) return JSON.parse(text);
  const problem = toProblem(status, text, retryAfter);
  if (status === 401 && (usedKey !== apiKey || (await askForKey()))) return uploadImage(form, options);
  throw problem;
}

function sendForm(form, { key, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('POST', '/v1/images');
    for (const [name, value] of Object.entries(withKey({ 'Idempotency-Key': key }))) {
      request.setRequestHeader(name, value);
    }
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onload = () => {
      onReachable(true);
      resolve({
        status: request.status,
        text: request.responseText,
        retryAfter: request.getResponseHeader('Retry-After'),
      });
    };
    request.onerror = () => {
      onReachable(false);
      reject(unreachable());
    };
    request.onabort = () => reject(new ApiProblem({ code: 'Stopped', title: 'The upload was stopped' }));
    signal.addEventListener('abort', () => request.abort(), { once: true });
    request.send(form);
  });
}
