import { callJson } from './api.js';
import { announce, byId, h } from './dom.js';
import { isFinal, shortAddress } from './format.js';
import { button } from './image-card.js';
import { jobProblem, progressSentence, setProgress, statusBadge } from './job-progress.js';
import { cancelJob, followJob, knownJob, nameJob, onJob, putJob, retryJob } from './jobs.js';
import { ApiProblem, problemView } from './problem.js';
import { sourceView } from './source-viewer.js';

let current = new AbortController();

/** The form that takes an address, and the source that it finds. */
export function startContractPanel() {
  const form = byId('contract-form');
  const address = byId('contract-address');
  const chain = byId('contract-chain');
  address.addEventListener('input', () => {
    markField(null);
    byId('address-hint').textContent = hintFor(address.value.trim());
  });
  chain.addEventListener('change', () => {
    byId('chain-other-field').hidden = chain.value !== 'other';
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const chainId = Number(chain.value === 'other' ? byId('chain-other').value : chain.value);
    void submit({ address: address.value.trim(), chainId });
  });
}

/** What is odd about an address as far as one can see without asking; the server judges. */
export function hintFor(text) {
  if (text === '') return '0x and 40 digits.';
  if (!/^0x/i.test(text)) return 'An address begins with 0x.';
  const digits = text.slice(2);
  const wrong = /[^0-9a-f]/i.exec(digits);
  if (wrong !== null) return `“${wrong[0]}” is no hexadecimal digit (0–9, a–f).`;
  if (digits.length < 40) return `${digits.length} of 40 digits.`;
  if (digits.length > 40) return `${digits.length - 40} too many: an address has 40 digits.`;
  return 'Looks complete.';
}

/** Shows a contract whose job is known, as from the table. */
export async function openContract(job) {
  const signal = restart();
  byId('contract-address').value = job.input.address;
  byId('address-hint').textContent = hintFor(job.input.address);
  byId('contract-state').scrollIntoView({ block: 'center' });
  await guard(signal, async () => showSource(job, signal));
}

async function submit(input) {
  const signal = restart();
  const state = byId('contract-state');
  state.replaceChildren(h('p.quiet', {}, 'Submitting…'));
  await guard(signal, async () => {
    const job = putJob(await callJson('/v1/contracts', { method: 'POST', json: input, signal }));
    nameJob(job.id, shortAddress(input.address));
    await follow(job, signal);
  });
}

/** A new question ends the one before. */
function restart() {
  current.abort();
  current = new AbortController();
  markField(null);
  byId('contract-source').replaceChildren();
  return current.signal;
}

async function guard(signal, work) {
  try {
    await work();
  } catch (error) {
    if (signal.aborted) return;
    markField(error);
    byId('contract-state').replaceChildren(problemView(error));
  }
}

/** Puts the server's words at the field that its pointer names. */
function markField(problem) {
  const pointer = problem?.errors?.[0]?.pointer;
  for (const [id, name] of [
    ['contract-address', '/address'],
    ['contract-chain', '/chainId'],
  ]) {
    if (pointer === name) byId(id).setAttribute('aria-invalid', 'true');
    else byId(id).removeAttribute('aria-invalid');
  }
  if (pointer === '/address') byId('contract-address').focus();
}

async function follow(job, signal) {
  const draw = (news) => news.id === job.id && !signal.aborted && drawState(news, signal);
  const stop = onJob(draw);
  draw(knownJob(job.id));
  try {
    const end = isFinal(job) ? job : await followJob(job.id, signal);
    draw(end);
    announce(`Contract: ${progressSentence(end)}`);
    if (end.status === 'SUCCESS') await showSource(end, signal);
  } finally {
    stop();
  }
}

function drawState(job, signal) {
  const state = byId('contract-state');
  const act = (work) => (event) => {
    event.currentTarget.disabled = true;
    void guard(signal, work);
  };
  if (!isFinal(job)) {
    const bar = h('progress', { max: 1, 'aria-label': 'Progress of the contract' });
    setProgress(bar, job.status === 'PROCESS' ? (job.progress?.fraction ?? 0) : null);
    const cancel = button(
      'Cancel',
      'stop',
      act(() => cancelJob(job.id)),
      job.cancelRequested,
    );
    state.replaceChildren(h('div.state-line', {}, h('p', {}, progressSentence(job)), cancel), bar);
    return;
  }
  const problem = jobProblem(job);
  const retry = button(
    'Retry',
    'turn',
    act(async () => follow(await retryJob(job.id), signal)),
  );
  const line = h('div.state-line', {}, statusBadge(job), job.status === 'SUCCESS' ? null : retry);
  state.replaceChildren(line, ...(problem === null ? [] : [problemView(new ApiProblem(problem))]));
}

async function showSource(job, signal) {
  const { chainId, address } = job.input;
  const source = await callJson(`/v1/contracts/${chainId}/${address}/source`, { signal });
  byId('contract-state').replaceChildren();
  byId('contract-source').replaceChildren(sourceView(job.id, source));
  announce(`The source of ${source.name} is here`);
}
