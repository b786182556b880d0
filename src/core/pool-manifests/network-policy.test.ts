import { expect, test } from 'vitest';
import { networkPolicySpec, portOf } from './network-policy.ts';
import type { PoolSettings } from './settings.ts';

const settings: PoolSettings = {
  workerPostgresUrl: 'postgres://worker:pw@10.0.0.7:6432/longshore',
  redisUrl: 'redis://redis.data.svc',
  redisPrefix: 'longshore',
  scalerAddress: 'longshore-scaler.system.svc:9090',
  scalerAuthentication: null,
  scalerCa: null,
  env: {},
  egressPorts: [443],
  networkPolicy: true,
  monitorLabels: {},
};

test('its NetworkPolicy opens names, stores and upstreams, and the metrics port alone', () => {
  expect(networkPolicySpec('contracts', settings)).toMatchObject({
    policyTypes: ['Ingress', 'Egress'],
    ingress: [{ ports: [{ port: 8_081 }] }],
    egress: [
      {
        ports: [
          { port: 53, protocol: 'UDP' },
          { port: 53, protocol: 'TCP' },
        ],
      },
      { to: [{ ipBlock: { cidr: '10.0.0.7/32' } }], ports: [{ port: 6_432 }] },
      { ports: [{ port: 6_379 }] },
      { ports: [{ port: 443 }] },
    ],
  });
});

test.each([
  ['https://a.example', 443],
  ['http://a.example:8080/x', 8_080],
  ['postgres://a', 5_432],
  ['nonsense', null],
])('%s goes to port %s', (url, port) => {
  expect(portOf(url)).toBe(port);
});
