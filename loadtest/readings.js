// POST /v1/meter-readings of distinct readings at a steady rate, an open model: the rate does not wait for the answers.

import { check, sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter } from 'k6/metrics';

const rate = Number(__ENV.RATE || 1000);
const seconds = Number(__ENV.SECONDS || 60);
const meters = Number(__ENV.METERS || 100000);
/** Behind a balancer a connection may be cut: a person's app sends the reading again, with the same key. */
const retries = Number(__ENV.RETRIES || 0);

export const options = {
  discardResponseBodies: true,
  scenarios: {
    send: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: `${seconds}s`,
      preAllocatedVUs: 300,
      maxVUs: 800,
    },
  },
  thresholds: {
    checks: ['rate==1'],
    dropped_iterations: ['count==0'],
    ...(retries > 0 ? {} : { http_req_failed: ['rate==0'], http_req_duration: ['p(99)<=50'] }),
  },
  summaryTrendStats: ['min', 'med', 'p(90)', 'p(99)', 'max'],
};

const acknowledged = new Counter('acknowledged');
const cut = new Counter('cut_connections');
const refused = new Counter('other_errors');
const run = __ENV.RUN || '0';

export default function () {
  const n = exec.scenario.iterationInTest;
  const key = `${run}-${n}`;
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${__ENV.API_KEY}` };
  if (retries > 0) headers['idempotency-key'] = key;
  // Every fourth of the seeded meters has two zones: those are left out. Values go up with each round of the meters.
  const meter = (n % ((meters * 3) / 4)) + 1;
  const id = meter + Math.floor(meter / 3);
  const value = Number(__ENV.BASE || 0) + Math.floor(n / ((meters * 3) / 4)) * 10;
  const body = JSON.stringify({ meterId: `METER-${id}`, value, readAt: __ENV.READ_AT });
  for (let tries = 0; ; tries += 1) {
    const answer = http.post(`${__ENV.API_URL}/v1/meter-readings`, body, { headers, timeout: '20s' });
    const isDurable = answer.status === 201 || answer.status === 200 || answer.status === 202;
    if (isDurable || tries >= retries) {
      if (isDurable) acknowledged.add(1);
      check(answer, { 'is durable': () => isDurable });
      return;
    }
    if (isCut(answer)) cut.add(1);
    else refused.add(1);
    sleep(0.2);
  }
}

/** k6's codes of TCP errors but a connection that nobody takes in time; it has none for one that ended before the answer. */
function isCut({ status, error, error_code: code }) {
  if (status !== 0) return status === 502 || status === 504;
  return (code >= 1200 && code < 1300 && code !== 1211) || (code === 1000 && /EOF|server closed/.test(error));
}
