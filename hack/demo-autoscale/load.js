// Submits jobs for every pool of the demo at rates that rise and fall: an open model, which does not wait for the answers.
// PLAN has the scenarios, from plan.ts.

import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';

const photograph = open('../../examples/images/chelsea.png', 'b');
const plan = JSON.parse(__ENV.PLAN);
const byName = Object.fromEntries(plan.map((scenario) => [scenario.name, scenario]));
const run = (Number(__ENV.RUN) % 0xffffffff).toString(16).padStart(8, '0');
const authorization = `Bearer ${__ENV.API_KEY}`;

export const options = {
  scenarios: Object.fromEntries(
    plan.map(({ name, startRate, stages }) => [
      name,
      {
        executor: 'ramping-arrival-rate',
        startRate,
        timeUnit: '10s',
        stages,
        preAllocatedVUs: 20,
        maxVUs: 100,
        gracefulStop: '20s',
      },
    ]),
  ),
  summaryTrendStats: ['min', 'med', 'p(90)', 'p(99)', 'max'],
};

export default function () {
  const answer = submit(byName[exec.scenario.name], exec.scenario.iterationInTest);
  check(answer, { 'is accepted': (r) => r.status === 201 });
}

function submit({ type, submit: how }, number) {
  if (how.upload !== undefined) {
    const form = { ...how.upload, file: http.file(photograph, 'chelsea.png') };
    return http.post(`${__ENV.API_URL}/v1/images`, form, { headers: { authorization }, timeout: '20s' });
  }
  const params = { headers: { authorization, 'content-type': 'application/json' }, timeout: '20s' };
  if (how.contracts) {
    const address = `0x${run}${number.toString(16).padStart(32, '0')}`;
    return http.post(`${__ENV.API_URL}/v1/contracts`, JSON.stringify({ address }), params);
  }
  return http.post(`${__ENV.API_URL}/v1/jobs`, JSON.stringify({ type, input: how.input }), params);
}
