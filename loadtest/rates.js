// GET /v1/rates/{pair} by many users at once: each asks for another pair of those tracked, without a pause but a short one.

import { check, sleep } from 'k6';
import http from 'k6/http';

const users = Number(__ENV.USERS || 1000);
const seconds = Number(__ENV.SECONDS || 60);
const pairs = Number(__ENV.PAIRS || 250);

export const options = {
  scenarios: {
    read: {
      executor: 'ramping-vus',
      startVUs: 0,
      // Nobody's thousand users come in the same millisecond.
      stages: [
        { duration: '5s', target: users },
        { duration: `${seconds}s`, target: users },
      ],
      gracefulRampDown: '5s',
    },
  },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
  },
  summaryTrendStats: ['min', 'med', 'p(90)', 'p(99)', 'max'],
};

const params = {
  headers: { authorization: `Bearer ${__ENV.API_KEY}` },
  timeout: '20s',
  tags: { name: 'rate' },
};

export default function () {
  const n = Math.floor(Math.random() * pairs);
  const pair = n % 2 === 0 ? `C${n}-USDT` : `G${n}-USD`;
  const answer = http.get(`${__ENV.API_URL}/v1/rates/${pair}`, params);
  check(answer, { 'is a fresh rate': (r) => r.status === 200 && r.body.includes('"stale":false') });
  sleep(0.4 + Math.random() * 0.2);
}
