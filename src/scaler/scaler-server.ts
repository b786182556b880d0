import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { Logger } from '../core/logger.ts';
import type { PoolLoad } from '../core/pool-load.ts';
import { ActivityStreams, type ReadLoads } from './activity-streams.ts';
import {
  type GetMetricSpecResponse,
  type GetMetricsRequest,
  type GetMetricsResponse,
  type IsActiveResponse,
  loadExternalScaler,
  poolOf,
  type ScaledObjectRef,
  ScalerError,
  unknownPool,
} from './protocol.ts';

/** PEM. */
export interface ScalerTls {
  cert: Buffer;
  key: Buffer;
  /** Whoever calls has to show a certificate of this authority. Absent: no certificate is asked for. */
  clientCa?: Buffer;
}

export interface ScalerServerOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** Absent: in the clear. */
  tls?: ScalerTls;
  read: ReadLoads;
  logger: Logger;
  /** See {@link ActivityStreams}. */
  repeatMs?: number;
  /** Streams open at once; more are refused. Defaults to 2,000. */
  maxStreams?: number;
  onRequest?(method: string, code: string): void;
  onPush?(active: boolean): void;
}

/** Jobs that the pool should be; the HorizontalPodAutoscaler divides them by the target. */
const METRIC_NAME = 'longshore-load';
/** A request is a few names. */
const MAX_MESSAGE_BYTES = 64 * 1024;
const CALLS_IN_PROGRESS_MS = 2_000;

const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  // KEDA puts the streams and polls of all pools onto one connection: a bound below theirs would let polls wait.
  'grpc.max_concurrent_streams': 8_192,
  // Idle streams are kept open through address translation, and those of a peer that is gone are noticed.
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
  'grpc.keepalive_permit_without_calls': 1,
} as const;

/**
 * KEDA's external-push scaler: answers for every pool from the ledger alone, so any number of replicas may run it. A ledger
 * that does not answer is an error, upon which KEDA keeps the replicas that there are.
 */
export class ScalerServer {
  readonly #options: ScalerServerOptions;
  readonly #streams: ActivityStreams;
  readonly #server = new Server(SERVER_OPTIONS);
  #draining = false;

  constructor(options: ScalerServerOptions) {
    this.#options = options;
    const { read, logger, repeatMs, onPush } = options;
    this.#streams = new ActivityStreams({
      read,
      logger,
      ...(repeatMs === undefined ? {} : { repeatMs }),
      ...(onPush === undefined ? {} : { onPush }),
    });
    this.#server.addService(loadExternalScaler(), {
      IsActive: this.#unary('IsActive', (ref: ScaledObjectRef) => this.#isActive(ref)),
      GetMetricSpec: this.#unary('GetMetricSpec', (ref: ScaledObjectRef) => this.#getMetricSpec(ref)),
      GetMetrics: this.#unary('GetMetrics', (request: GetMetricsRequest) => this.#getMetrics(request)),
      StreamIsActive: (call: ServerWritableStream<ScaledObjectRef, IsActiveResponse>) =>
        this.#streamIsActive(call),
    });
  }

  /** Open streams. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Listens; resolves with the port. */
  async start(): Promise<number> {
    const { host, port, tls, logger } = this.#options;
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    const bound = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(address, toCredentials(tls), (error, found) =>
        error === null ? resolve(found) : reject(error),
      );
    });
    this.#streams.start();
    logger.info({ host, port: bound, tls: tls !== undefined }, 'Scaler started');
    return bound;
  }

  /** There may be work: call it at each notification of the ledger, and when notifications may have been missed. */
  wake(): void {
    this.#streams.wake();
  }

  /** Ends the streams cleanly, lets calls in progress end, and closes. */
  async stop(): Promise<void> {
    this.#draining = true;
    await this.#streams.stop();
    await new Promise<void>((resolve) => {
      const late = setTimeout(() => {
        this.#server.forceShutdown();
        resolve();
      }, CALLS_IN_PROGRESS_MS);
      this.#server.tryShutdown(() => {
        clearTimeout(late);
        resolve();
      });
    });
  }

  async #isActive(ref: ScaledObjectRef): Promise<IsActiveResponse> {
    const { load } = await this.#read(ref);
    return { result: load > 0 };
  }

  async #getMetricSpec(ref: ScaledObjectRef): Promise<GetMetricSpecResponse> {
    const { jobsPerReplica } = await this.#read(ref);
    return { metricSpecs: [{ metricName: METRIC_NAME, targetSizeFloat: jobsPerReplica }] };
  }

  async #getMetrics({ scaledObjectRef, metricName }: GetMetricsRequest): Promise<GetMetricsResponse> {
    const { load } = await this.#read(scaledObjectRef);
    return { metricValues: [{ metricName: metricName || METRIC_NAME, metricValueFloat: load }] };
  }

  async #read(ref: ScaledObjectRef | null): Promise<PoolLoad> {
    const wanted = poolOf(ref);
    let found: readonly PoolLoad[];
    try {
      found = await this.#options.read([wanted]);
    } catch (err) {
      this.#options.logger.warn({ err, ...wanted }, 'Could not read the load of a pool');
      throw new ScalerError(status.UNAVAILABLE, 'The ledger does not answer; the load is not known', {
        cause: err,
      });
    }
    const [pool] = found;
    if (pool === undefined) throw unknownPool(wanted);
    if (pool.load === 0) this.#streams.sawIdle(wanted);
    return pool;
  }

  #unary<Request, Response>(method: string, answer: (request: Request) => Promise<Response>) {
    return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
      answer(call.request).then(
        (response) => {
          this.#count(method, status.OK);
          callback(null, response);
        },
        (error: unknown) => callback(this.#toStatus(method, error)),
      );
    };
  }

  #streamIsActive(call: ServerWritableStream<ScaledObjectRef, IsActiveResponse>): void {
    const method = 'StreamIsActive';
    try {
      if (this.#draining) throw new ScalerError(status.UNAVAILABLE, 'The scaler is shutting down');
      const max = this.#options.maxStreams ?? 2_000;
      if (this.streams >= max)
        throw new ScalerError(status.RESOURCE_EXHAUSTED, `${max} streams are open already`);
      const close = this.#streams.open(poolOf(call.request), {
        // A peer that does not read must not fill our memory: it hears of the work when it does, or by its poll.
        push: (result) => void (call.writableNeedDrain || call.write({ result })),
        end: (error) => {
          close();
          if (error === undefined) {
            this.#count(method, status.OK);
            call.end();
          } else call.emit('error', this.#toStatus(method, error));
        },
      });
      call.on('cancelled', close).on('close', close).on('error', close);
    } catch (error) {
      call.emit('error', this.#toStatus(method, error));
    }
  }

  /** An error of ours says what is wrong; one of unknown family is a bug, which is logged and not shown. */
  #toStatus(method: string, error: unknown): ScalerError {
    const shown =
      error instanceof ScalerError
        ? error
        : new ScalerError(status.INTERNAL, 'The scaler failed; see its log');
    if (shown !== error) this.#options.logger.error({ err: error, method }, 'Scaler request failed');
    this.#count(method, shown.code);
    return shown;
  }

  #count(method: string, code: status): void {
    this.#options.onRequest?.(method, status[code]);
  }
}

function toCredentials(tls: ScalerTls | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pairs = [{ private_key: tls.key, cert_chain: tls.cert }];
  return ServerCredentials.createSsl(tls.clientCa ?? null, pairs, tls.clientCa !== undefined);
}
