import { expect, test } from 'vitest';
import { silentLogger } from '../core/logger.ts';
import type { KubeObject } from './resource-type.ts';
import { byNamespace, ObjectStore, type StoreChange } from './store.ts';

function object(name: string, resourceVersion: string, namespace = 'ns'): KubeObject {
  return { metadata: { name, namespace, resourceVersion } };
}

test('replaceAll tells only what changed, with before and after', () => {
  const store = new ObjectStore<KubeObject>({ logger: silentLogger });
  store.replaceAll([object('same', '1'), object('changed', '2'), object('gone', '3')]);
  const changes: StoreChange<KubeObject>[] = [];
  store.onChange((change) => changes.push(change));
  expect(store.replaceAll([object('same', '1'), object('changed', '4'), object('new', '5')])).toBe(3);
  const versions = changes.map(({ key, before, after }) => [
    key,
    before?.metadata.resourceVersion,
    after?.metadata.resourceVersion,
  ]);
  expect(versions).toEqual([
    ['ns/changed', '2', '4'],
    ['ns/new', undefined, '5'],
    ['ns/gone', '3', undefined],
  ]);
});

test('an index follows its objects and keeps no empty values', () => {
  const byLabel = ({ metadata }: KubeObject): string[] => Object.values(metadata.labels ?? {});
  const store = new ObjectStore<KubeObject>({ logger: silentLogger, indexes: { byNamespace, byLabel } });
  store.upsert({ metadata: { ...object('a', '1').metadata, labels: { berth: 'one' } } });
  store.upsert({ metadata: { ...object('a', '2').metadata, labels: { berth: 'two' } } });
  expect([store.countByIndex('byLabel', 'one'), store.countByIndex('byLabel', 'two')]).toEqual([0, 1]);
  expect(store.byIndex('byNamespace', 'ns')).toHaveLength(1);
  store.remove('ns/a');
  expect(store.byIndex('byNamespace', 'ns')).toEqual([]);
  expect(() => store.byIndex('none', '')).toThrow(TypeError);
});

test('a handler that throws disturbs neither the store nor other handlers', () => {
  const store = new ObjectStore<KubeObject>({ logger: silentLogger });
  const seen: string[] = [];
  store.onChange(() => {
    throw new Error('handler');
  });
  store.onChange(({ key }) => seen.push(key));
  store.upsert(object('a', '1'));
  expect([store.size, seen]).toEqual([1, ['ns/a']]);
});
