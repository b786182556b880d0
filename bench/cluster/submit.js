// POST /v1/jobs at a steady rate: an open model, which does not wait for the answers.

import { check } from 'k6';
import http from 'k6/http';

export const options = {
  discardResponseBodies: true,
  scenarios: {
    submit: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE),
      timeUnit: '1s',
      duration: `${__ENV.SECONDS}s`,
      preAllocatedVUs: 200,
      maxVUs: 800,
    },
  },
  summaryTrendStats: ['min', 'med', 'p(90)', 'p(99)', 'max'],
};

const params = {
  headers: { 'content-type': 'application/json', authorization: `Bearer ${__ENV.API_KEY}` },
  timeout: '20s',
};

export default function () {
  const answer = http.post(`${__ENV.API_URL}/v1/jobs`, __ENV.BODY, params);
  check(answer, { 'is 201': (r) => r.status === 201 });
}
