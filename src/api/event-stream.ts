import type { Response } from 'express';
import type { Principal } from './authenticator.ts';
import type { ApiLimits } from './deps.ts';
import { releaseInFlight } from './middleware/observe.ts';
import { Problem } from './problem.ts';

const HEARTBEAT_MS = 15_000;
/** A reader that has this much unread is cut off: it may come back. */
const MAX_UNREAD_BYTES = 256 * 1_024;

export interface StreamedEvent {
  id: number;
  event: string;
  data: unknown;
}

/** An answer of Server-Sent Events that goes on until either side ends it. */
export interface EventStream {
  send(event: StreamedEvent): void;
  /** Ends it in order. */
  end(): void;
  /** Called once, whoever ended it. */
  onClose(work: () => void): void;
}

/** Begins a stream. Throws a `TooManyRequests` problem when the key has too many of them open. */
export function openEventStream(
  res: Response,
  principal: Principal,
  { maxStreamsPerKey }: Pick<ApiLimits, 'maxStreamsPerKey'>,
): EventStream {
  if (principal.openStreams >= maxStreamsPerKey) {
    throw new Problem('TooManyRequests', 'This API key has too many event streams open', {
      headers: { 'Retry-After': '5' },
    });
  }
  principal.openStreams += 1;
  releaseInFlight(res);
  res.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store, no-transform',
    'X-Accel-Buffering': 'no',
  });
  res.flushHeaders();
  const heartbeat = setInterval(() => res.write(': \n\n'), HEARTBEAT_MS);
  res.once('close', () => {
    principal.openStreams -= 1;
    clearInterval(heartbeat);
  });
  return {
    send({ id, event, data }) {
      if (res.writableEnded || res.destroyed) return;
      res.write(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
      if (res.writableLength > MAX_UNREAD_BYTES) res.destroy();
    },
    end: () => void res.end(),
    onClose: (work) => void res.once('close', work),
  };
}
