import {
  type ChannelCredentials,
  Client,
  type ClientReadableStream,
  credentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { loadExternalScaler } from '../../src/scaler/protocol.ts';

/** What a stream has said, and how it ended. */
export interface SeenStream {
  states: boolean[];
  /** The name of the gRPC status once it has ended. */
  ended: string | undefined;
  details: string | undefined;
  cancel(): void;
}

interface Pool {
  namespace: string;
  pool: string;
}

/** Asks a scaler as KEDA does: a generic gRPC client over one connection. */
export class ScalerClient {
  readonly #client: Client;

  constructor(port: number, how: ChannelCredentials = credentials.createInsecure()) {
    this.#client = new Client(`localhost:${port}`, how);
  }

  close(): void {
    this.#client.close();
  }

  isActive(pool: Pool): Promise<{ result: boolean }> {
    return this.call('IsActive', refOf(pool));
  }

  getMetricSpec(pool: Pool): Promise<{ metricSpecs: { metricName: string; targetSizeFloat: number }[] }> {
    return this.call('GetMetricSpec', refOf(pool));
  }

  async load(pool: Pool): Promise<number> {
    const { metricValues } = await this.call<{ metricValues: { metricValueFloat: number }[] }>('GetMetrics', {
      scaledObjectRef: refOf(pool),
      metricName: 'longshore-load',
    });
    return metricValues[0]?.metricValueFloat ?? Number.NaN;
  }

  /** Rejects with a `ServiceError` for any status but OK. */
  call<Answer>(method: string, request: object): Promise<Answer> {
    const { path, requestSerialize, responseDeserialize } = methodOf(method);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        { deadline: Date.now() + 10_000 },
        (error: ServiceError | null, answer?: object) =>
          error === null ? resolve(answer as Answer) : reject(error),
      );
    });
  }

  stream(pool: Pool): SeenStream {
    const { path, requestSerialize, responseDeserialize } = methodOf('StreamIsActive');
    const call: ClientReadableStream<object> = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      refOf(pool),
    );
    const seen: SeenStream = {
      states: [],
      ended: undefined,
      details: undefined,
      cancel: () => call.cancel(),
    };
    call.on('data', ({ result }: { result: boolean }) => seen.states.push(result));
    // The status comes as well; without a listener the error would end the process.
    call.on('error', () => {});
    call.on('status', ({ code, details }) => {
      seen.ended = status[code];
      seen.details = details;
    });
    return seen;
  }
}

function refOf({ namespace, pool }: Pool): object {
  return { name: `longshore-${pool}`, namespace, scalerMetadata: { pool, scalerAddress: 'ignored:1' } };
}

function methodOf(name: string) {
  const method = loadExternalScaler()[name];
  if (method === undefined) throw new RangeError(`The scaler has no method ${name}`);
  return method;
}
