// POST /v1/contracts with distinct addresses, an open model: the rate does not wait for the answers.

import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';

const rate = Number(__ENV.RATE || 1000);
const seconds = Number(__ENV.SECONDS || 60);

export const options = {
  discardResponseBodies: true,
  scenarios: {
    submit: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: `${seconds}s`,
      preAllocatedVUs: 600,
      maxVUs: 600,
    },
  },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    dropped_iterations: ['count==0'],
    http_req_duration: ['p(99)<=50'],
  },
  summaryTrendStats: ['min', 'med', 'p(90)', 'p(99)', 'max'],
};

const params = {
  headers: { 'content-type': 'application/json', authorization: `Bearer ${__ENV.API_KEY}` },
  timeout: '20s',
};
const run = (Number(__ENV.RUN || 0) % 0xffffff).toString(16).padStart(6, '0');

export default function () {
  const n = exec.scenario.iterationInTest.toString(16).padStart(34, '0');
  const answer = http.post(
    `${__ENV.API_URL}/v1/contracts`,
    JSON.stringify({ address: `0x${run}${n}` }),
    params,
  );
  check(answer, { 'is 201': (r) => r.status === 201 });
}
