// POST /v1/jobs at a steady rate, an open model; optionally a sample of jobs polled once a second until they end.

import { check, sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';

const rate = Number(__ENV.RATE || 2000);
const seconds = Number(__ENV.SECONDS || 60);
const polled = Number(__ENV.POLLED || 0);

const headers = { 'content-type': 'application/json', authorization: `Bearer ${__ENV.API_KEY}` };
const run = (Number(__ENV.RUN || 0) % 0xffffff).toString(16).padStart(6, '0');

export const options = {
  scenarios: {
    submit: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: `${seconds}s`,
      preAllocatedVUs: 800,
      maxVUs: 800,
      exec: 'submit',
    },
    ...(polled > 0
      ? {
          poll: {
            executor: 'per-vu-iterations',
            vus: polled,
            iterations: 1,
            maxDuration: `${seconds + 240}s`,
            exec: 'poll',
          },
        }
      : {}),
  },
  thresholds: {
    checks: ['rate==1'],
    dropped_iterations: ['count==0'],
    'http_req_duration{name:submit}': ['p(99)<=100'],
    'http_req_duration{name:poll}': ['p(99)<=50'],
  },
  summaryTrendStats: ['min', 'med', 'p(90)', 'p(99)', 'max'],
};

function body(n) {
  return JSON.stringify({
    type: 'contract-source',
    input: { address: `0x${run}${n.toString(16).padStart(34, '0')}` },
  });
}

export function submit() {
  const answer = http.post(`${__ENV.API_URL}/v1/jobs`, body(exec.scenario.iterationInTest), {
    headers,
    timeout: '20s',
    tags: { name: 'submit' },
  });
  check(answer, { 'is 201': (r) => r.status === 201 });
}

/** One user: submits a job and asks once a second until it has ended. */
export function poll() {
  const params = { headers, timeout: '20s', tags: { name: 'submit' } };
  const answer = http.post(`${__ENV.API_URL}/v1/jobs`, body(0xffffffff + exec.vu.idInTest), params);
  if (!check(answer, { 'is 201': (r) => r.status === 201 })) return;
  const id = answer.json('id');
  for (;;) {
    sleep(1);
    const now = http.get(`${__ENV.API_URL}/v1/jobs/${id}`, {
      headers,
      timeout: '20s',
      tags: { name: 'poll' },
    });
    if (!check(now, { 'is 200': (r) => r.status === 200 })) return;
    const status = now.json('status');
    if (status === 'SUCCESS') return;
    if (!check(status, { 'does not fail': (s) => s !== 'ERROR' && s !== 'CANCELLED' })) return;
  }
}
