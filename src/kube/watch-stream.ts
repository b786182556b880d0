import { KubeApiError, type KubeStatus } from './kube-api-error.ts';
import type { KubeObject } from './resource-type.ts';

export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  /** Nothing changed up to this resourceVersion. */
  | { type: 'BOOKMARK'; resourceVersion: string };

interface RawEvent {
  type: string;
  object: unknown;
}

/** Events of a watch's body: one JSON object a line. An `ERROR` event becomes a {@link KubeApiError}. */
export async function* parseWatchStream<T extends KubeObject>(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<WatchEvent<T>, void, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line !== '') yield toEvent<T>(JSON.parse(line) as RawEvent);
    }
  }
}

function toEvent<T extends KubeObject>(raw: RawEvent): WatchEvent<T> {
  switch (raw.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type: raw.type, object: raw.object as T };
    case 'BOOKMARK':
      return { type: 'BOOKMARK', resourceVersion: (raw.object as KubeObject).metadata.resourceVersion ?? '' };
    default: {
      const status = raw.object as KubeStatus;
      throw new KubeApiError(status.code ?? 500, status);
    }
  }
}
