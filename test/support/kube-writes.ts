import type { ProxiedRequest } from './http-fault-proxy.ts';

/** Every write of the controller in the lives of one job of REST and one applied one. The first test proves the list. */
export const WRITES = [
  'applied delete',
  'applied finalizer',
  'applied mark',
  'applied status',
  'rest create',
  'rest delete',
  'rest status',
] as const;
export type Write = (typeof WRITES)[number];

/** Name of the QueueJob that is applied; whatever else there is shows a job of REST. */
export const APPLIED = 'applied';

export function whoOf(name: string): 'rest' | 'applied' {
  return name === APPLIED ? 'applied' : 'rest';
}

/** Which write a request is, if it is one; a patch of an object is that of its finalizer once its deletion was asked for. */
export function writeOf({ method, path }: ProxiedRequest, before: readonly ProxiedRequest[]): Write | null {
  const [, name, subresource] = /\/queuejobs(?:\/([^/]+))?(?:\/(.+))?$/.exec(path) ?? [];
  if (method === 'POST') return 'rest create';
  if (name === undefined || method === 'GET') return null;
  const who = whoOf(name);
  if (method === 'DELETE') return `${who} delete`;
  if (subresource === 'status') return `${who} status`;
  if (who === 'rest') throw new Error(`A write that nobody knows: ${method} ${path}`);
  const wasDeleted = before.some((request) => request.method === 'DELETE' && request.path === path);
  return wasDeleted ? 'applied finalizer' : 'applied mark';
}
