import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { findUnsafeJson } from '../core/json-safety.ts';
import { invalidInput, Problem } from './problem.ts';

export interface BodyLimits {
  /** The largest JSON body. */
  maxBytes: number;
  /** The longest time that the body may take to arrive. */
  timeoutMs: number;
}

/** A request's body as JSON, checked by `findUnsafeJson`. Rejects with a {@link Problem}. */
export async function readJson(req: IncomingMessage, limits: BodyLimits): Promise<unknown> {
  requireJson(req);
  const bytes = await readBody(req, limits);
  if (!isUtf8(bytes)) throw new Problem('InvalidJson', 'The body is not UTF-8');
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new Problem(
      'InvalidJson',
      bytes.length === 0 ? 'The body is empty' : 'The body cannot be read as JSON',
    );
  }
  const unsafe = findUnsafeJson(value);
  if (unsafe !== null) throw invalidInput(unsafe);
  return value;
}

function requireJson(req: IncomingMessage): void {
  const type = req.headers['content-type'];
  if (type !== 'application/json' && !/^application\/json *(; *charset="?utf-8"? *)?$/i.test(type ?? '')) {
    throw new Problem('UnsupportedMediaType', 'Send the body as application/json in UTF-8');
  }
  const encoding = req.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') {
    throw new Problem('UnsupportedMediaType', 'Send the body without a content encoding');
  }
}

export function tooLarge(maxBytes: number): Problem {
  return new Problem('PayloadTooLarge', `The body is larger than ${maxBytes} bytes`);
}

/** The whole body, never more than `maxBytes` of it in memory. */
function readBody(req: IncomingMessage, { maxBytes, timeoutMs }: BodyLimits): Promise<Buffer> {
  if (Number(req.headers['content-length'] ?? 0) > maxBytes) return Promise.reject(tooLarge(maxBytes));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (finish: () => void) => {
      clearTimeout(timer);
      req.off('data', onData).off('end', onEnd).off('error', onError).off('close', onError);
      finish();
    };
    const fail = (problem: Problem) =>
      settle(() => {
        // What the client still sends is read and dropped, so that it gets to read the answer.
        req.resume();
        reject(problem);
      });
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) fail(tooLarge(maxBytes));
      else chunks.push(chunk);
    };
    const onEnd = () =>
      settle(() => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)));
    const onError = () => fail(new Problem('InvalidJson', 'The body broke off'));
    const timer = setTimeout(
      () =>
        fail(
          new Problem('RequestTimeout', 'The body did not arrive in time', {
            headers: { Connection: 'close' },
          }),
        ),
      timeoutMs,
    );
    req.on('data', onData).on('end', onEnd).on('error', onError).on('close', onError);
  });
}
