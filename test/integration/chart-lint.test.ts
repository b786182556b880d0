import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { CHART, helm, renderChart, TRIAL } from '../support/chart.ts';

const ci = (name: string) => parse(readFileSync(`${CHART}/ci/${name}-values.yaml`, 'utf8'));

test.each(['trial', 'full'])('helm lint finds nothing with the values "%s"', async (name) => {
  const output = await helm(['lint', '--strict', CHART], ci(name));
  expect(output).toContain('0 chart(s) failed');
  expect(output).not.toMatch(/\[(WARNING|ERROR)\]/);
});

describe('a value that cannot be is refused with its path', () => {
  test.each([
    ['a misspelt value', { api: { replica: 3 } }, /at '\/api'.*'replica'/s],
    ['a misspelt group', { postgres: { enabled: true } }, /'postgres'/],
    ['a text for a number', { api: { replicas: 'two' } }, /at '\/api\/replicas'/],
    ['no such pull policy', { image: { pullPolicy: 'Sometimes' } }, /at '\/image\/pullPolicy'/],
    ['a port out of range', { controller: { scaler: { port: 70_000 } } }, /at '\/controller\/scaler\/port'/],
    ['root', { runAsUser: 0 }, /at '\/runAsUser'/],
    ['a setting of another program', { config: { PATH: '/bin' } }, /at '\/config'.*'PATH'/s],
    ['a namespace that is no name', { watchNamespace: 'Not_Ok' }, /at '\/watchNamespace'/],
    [
      'a quantity that is none',
      { redis: { persistence: { size: 'big' } } },
      /at '\/redis\/persistence\/size'/,
    ],
    ['a pool without a spec', { defaultPools: { pools: [{ name: 'a' }] } }, /at '\/defaultPools\/pools\/0'/],
    [
      'contradicting limits',
      { api: { autoscaling: { enabled: true, minReplicas: 5, maxReplicas: 2 } } },
      /api\.autoscaling\.minReplicas: 5 is more than/,
    ],
    [
      'a spool of pods that come and go',
      { api: { spool: { enabled: true }, autoscaling: { enabled: true } } },
      /api\.spool\.enabled: not together with api\.autoscaling\.enabled/,
    ],
    [
      "certificates of both sides without KEDA's",
      { controller: { scaler: { tls: { existingSecret: 'a', verifyClient: true } } } },
      /controller\.scaler\.authentication/,
    ],
    ['a route without a gateway', { api: { route: { enabled: true } } }, /api\.route\.parentRefs/],
    ['no PostgreSQL', { postgresql: { enabled: false } }, /postgresql\.existingSecret: name the Secret/],
    ['no Redis', { redis: { enabled: false } }, /redis\.existingSecret: name the Secret/],
  ])('%s', async (_, values, message) => {
    await expect(renderChart({ ...TRIAL, ...values })).rejects.toThrow(message);
  });

  test('every value of values.yaml is known to the schema, and the other way round', () => {
    const schema = JSON.parse(readFileSync(`${CHART}/values.schema.json`, 'utf8'));
    const values = parse(readFileSync(`${CHART}/values.yaml`, 'utf8'));
    const compare = (value: unknown, node: Record<string, unknown>, path: string): string[] => {
      const properties = node.properties as Record<string, Record<string, unknown>> | undefined;
      if (properties === undefined || value === null || typeof value !== 'object') return [];
      const here = Object.keys(value);
      const known = Object.keys(properties).filter((key) => `${path}${key}` !== 'global');
      return [
        ...here.filter((key) => !known.includes(key)).map((key) => `schema lacks ${path}${key}`),
        ...known.filter((key) => !here.includes(key)).map((key) => `values lack ${path}${key}`),
        ...here.flatMap((key) =>
          compare((value as Record<string, unknown>)[key], properties[key] ?? {}, `${path}${key}.`),
        ),
      ];
    };
    expect(compare(values, schema, '')).toEqual([]);
  });
});
