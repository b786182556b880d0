// People who upload a photograph, wait for it and download the result: 0 to 100 of them over three minutes, held for two.

import { check, sleep } from 'k6';
import http from 'k6/http';

const scale = Number(__ENV.SCALE || 1);
const photographs = ['astronaut.png', 'chelsea.png', 'coffee.png', 'hubble_deep_field.jpg', 'rocket.jpg'].map(
  (name) => ({
    name,
    bytes: open(`../examples/images/${name}`, 'b'),
  }),
);
const headers = { authorization: `Bearer ${__ENV.API_KEY}` };

export const options = {
  scenarios: {
    people: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: `${180 * scale}s`, target: 100 },
        { duration: `${120 * scale}s`, target: 100 },
      ],
      gracefulStop: '60s',
    },
  },
  thresholds: { checks: ['rate==1'], http_req_failed: ['rate==0'] },
  summaryTrendStats: ['min', 'med', 'p(90)', 'p(99)', 'max'],
};

export default function () {
  const { name, bytes } = photographs[Math.floor(Math.random() * photographs.length)];
  const form = { file: http.file(bytes, name), format: 'webp', width: '400' };
  const upload = http.post(`${__ENV.API_URL}/v1/images`, form, { headers, tags: { name: 'upload' } });
  if (!check(upload, { 'is accepted': (r) => r.status === 201 })) return;
  const id = upload.json('id');
  for (;;) {
    sleep(1);
    const now = http.get(`${__ENV.API_URL}/v1/jobs/${id}`, { headers, tags: { name: 'poll' } });
    if (!check(now, { 'is answered': (r) => r.status === 200 })) return;
    const status = now.json('status');
    if (status === 'ERROR' || status === 'CANCELLED') {
      check(status, { 'does not fail': () => false });
      return;
    }
    if (status === 'SUCCESS') break;
  }
  const result = http.get(`${__ENV.API_URL}/v1/jobs/${id}/result`, {
    headers,
    responseType: 'binary',
    tags: { name: 'download' },
  });
  check(result, { 'is downloaded': (r) => r.status === 200 && r.body.byteLength > 1000 });
}
