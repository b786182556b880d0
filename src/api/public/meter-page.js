import { callJson, configureApi, randomKey } from './api.js';
import { announce, byId, h, icon } from './dom.js';
import { askForKey, startKeyDialog } from './key-dialog.js';
import { consumptionChart, monthName } from './meter-chart.js';
import { problemView } from './problem.js';

const POLL_MS = 700;
/** Judging takes a second or two; a reading that takes longer is safe all the same. */
const POLLS = 30;
const ONE_ZONE = 'total';

let meter = null;
let current = new AbortController();

startKeyDialog(() => void showMeter());
configureApi({
  askForKey,
  onReachable(reachable) {
    byId('connection').dataset.state = reachable ? 'up' : 'down';
    byId('connection-text').textContent = reachable ? 'Connected' : 'No connection';
  },
});
byId('connection').dataset.state = 'up';
byId('connection-text').textContent = 'Ready';
byId('meter-form').addEventListener('submit', (event) => {
  event.preventDefault();
  void showMeter();
});
byId('reading-form').addEventListener('submit', (event) => {
  event.preventDefault();
  void sendReading();
});
byId('reading-zone').addEventListener('change', showLast);

/** Runs what a person asked for; a new question ends the one before. What goes wrong is told at `place`. */
async function guard(place, work) {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  byId(place).replaceChildren();
  try {
    await work(signal);
  } catch (error) {
    if (!signal.aborted) byId(place).replaceChildren(problemView(error));
  }
}

async function showMeter() {
  const id = byId('meter-id').value.trim();
  if (id === '') {
    byId('meter-id').focus();
    return;
  }
  byId('reading-form').hidden = true;
  byId('history').hidden = true;
  byId('reading-state').replaceChildren();
  await guard('meter-state', async (signal) => {
    meter = await callJson(`/v1/meters/${encodeURIComponent(id)}`, { signal });
    drawZones();
    byId('reading-value').maxLength = meter.digits;
    byId('reading-value').value = '';
    byId('reading-form').hidden = false;
    showLast();
    await showHistory(signal);
    byId('reading-value').focus();
  });
}

function drawZones() {
  const field = byId('reading-zone');
  field.querySelectorAll('label').forEach((label) => {
    label.remove();
  });
  field.hidden = meter.zones.length < 2;
  for (const [index, zone] of meter.zones.entries()) {
    const radio = h('input', { type: 'radio', name: 'zone', value: zone, checked: index === 0 });
    field.append(h('label', {}, radio, h('span', {}, zone)));
  }
}

const chosenZone = () => document.querySelector('input[name="zone"]:checked')?.value ?? ONE_ZONE;

function showLast() {
  const last = meter.registers.find(({ zone }) => zone === chosenZone());
  byId('reading-last').textContent =
    last === undefined
      ? `${meter.digits} digits at most.`
      : `Last reading: ${last.value}, on ${last.day}. ${meter.digits} digits at most.`;
}

async function showHistory(signal) {
  const { readings } = await callJson(`${meter.links.readings}?limit=100`, { signal });
  byId('chart').replaceChildren(consumptionChart(readings));
  byId('readings').replaceChildren(...readings.slice(0, 24).map(readingRow));
  const latest = readings.find(({ status }) => status === 'ACCEPTED');
  byId('bill').textContent = latest === undefined ? '' : await billSentence(latest.day.slice(0, 7), signal);
  byId('history').hidden = false;
}

async function billSentence(month, signal) {
  const bill = await callJson(`${meter.links.bill}?month=${month}`, { signal });
  const cost = bill.cost === null ? '' : `, ${bill.cost} ${bill.currency}`;
  return `${monthName(month)}: ${bill.consumption} units${cost}.`;
}

function readingRow(reading) {
  const zone = reading.zone === ONE_ZONE ? '' : ` ${reading.zone}`;
  const used = reading.status === 'ACCEPTED' ? `+${reading.consumption}` : verdictWord(reading);
  return h(
    'li',
    {},
    h('span', {}, reading.day),
    h('span.mono', {}, `${reading.value}${zone}`),
    h('span.quiet', {}, used),
    reading.reason === null ? null : h('span.why', {}, reading.reason.message),
  );
}

const verdictWord = ({ status }) => (status === 'REFUSED' ? 'refused' : 'being checked');

async function sendReading() {
  const field = byId('reading-value');
  const text = field.value.trim();
  field.removeAttribute('aria-invalid');
  if (!/^\d{1,9}$/.test(text)) {
    field.setAttribute('aria-invalid', 'true');
    field.focus();
    byId('reading-state').replaceChildren(
      verdict('refused', 'cross', 'Enter the digits that the meter shows.'),
    );
    return;
  }
  const zone = chosenZone();
  const json = {
    meterId: meter.id,
    value: Number(text),
    source: 'page',
    ...(zone === ONE_ZONE ? {} : { zone }),
  };
  await guard('reading-state', async (signal) => {
    byId('reading-submit').disabled = true;
    try {
      const headers = { 'Idempotency-Key': randomKey() };
      const sent = await callJson('/v1/meter-readings', { method: 'POST', json, headers, signal });
      await showVerdict(sent, signal);
    } finally {
      byId('reading-submit').disabled = false;
    }
  });
}

async function showVerdict(sent, signal) {
  if (sent.status === 'SPOOLED') {
    tell('waiting', 'clock', 'Your reading is safe. It will be checked as soon as our database is back.');
    return;
  }
  let reading = sent;
  tell('waiting', 'clock', 'Your reading is safe, and is being checked.');
  for (let polls = 0; reading.status === 'RECEIVED' && polls < POLLS; polls += 1) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    signal.throwIfAborted();
    reading = await callJson(sent.links.self, { signal });
  }
  if (reading.status === 'ACCEPTED') {
    const cost = reading.cost === null ? '' : `, ${reading.cost} ${reading.currency}`;
    tell('accepted', 'check', `Accepted: ${reading.consumption} units since the last reading${cost}.`);
  } else if (reading.status === 'REFUSED') {
    const last = reading.previous === null ? '' : ` (it was ${reading.previous})`;
    tell('refused', 'cross', `Not accepted: ${reading.reason.message}${last}.`);
  }
  meter = await callJson(meter.links.self, { signal });
  showLast();
  await showHistory(signal);
}

function tell(tone, sign, words) {
  byId('reading-state').replaceChildren(verdict(tone, sign, words));
  announce(words);
}

function verdict(tone, sign, words) {
  return h(`p.verdict.verdict-${tone}`, {}, icon(sign), h('span', {}, words));
}
