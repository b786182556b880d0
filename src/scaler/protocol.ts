import { fileURLToPath } from 'node:url';
import { type ServiceDefinition, status } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { PoolRef } from '../core/pool-load.ts';

/** How KEDA names what it asks about; the metadata is that of the trigger, as its ScaledObject has it. */
export interface ScaledObjectRef {
  name: string;
  namespace: string;
  scalerMetadata?: Record<string, string>;
}

export interface IsActiveResponse {
  result: boolean;
}

export interface GetMetricSpecResponse {
  metricSpecs: { metricName: string; targetSizeFloat: number }[];
}

export interface GetMetricsRequest {
  scaledObjectRef: ScaledObjectRef | null;
  metricName: string;
}

export interface GetMetricsResponse {
  metricValues: { metricName: string; metricValueFloat: number }[];
}

/** The service as `Server.addService` takes it, read from the file beside this one. */
export function loadExternalScaler(): ServiceDefinition {
  const file = fileURLToPath(new URL('external-scaler.proto', import.meta.url));
  const loaded = loadSync(file, { longs: Number, defaults: true, arrays: true, objects: true });
  return loaded['externalscaler.ExternalScaler'] as ServiceDefinition;
}

/** An answer that is no answer: a gRPC status with a sentence for whoever reads KEDA's log. */
export class ScalerError extends Error {
  override name = 'ScalerError';
  readonly code: status;
  readonly details: string;

  constructor(code: status, details: string, options?: ErrorOptions) {
    super(details, options);
    this.code = code;
    this.details = details;
  }
}

const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/**
 * The pool that a ScaledObject scales: `pool` of its trigger, in its own namespace, never another's.
 *
 * @throws ScalerError INVALID_ARGUMENT when it names none.
 */
export function poolOf(ref: ScaledObjectRef | null | undefined): PoolRef {
  const metadata = ref?.scalerMetadata ?? {};
  const name = Object.hasOwn(metadata, 'pool') ? metadata.pool : undefined;
  const namespace = ref?.namespace ?? '';
  if (name === undefined || !NAME.test(name)) {
    throw new ScalerError(
      status.INVALID_ARGUMENT,
      'The trigger must name a WorkerPool: set metadata.pool of the ScaledObject',
    );
  }
  if (!NAME.test(namespace)) {
    throw new ScalerError(status.INVALID_ARGUMENT, 'The ScaledObject has no usable namespace');
  }
  return { namespace, name };
}

export function unknownPool({ namespace, name }: PoolRef): ScalerError {
  return new ScalerError(
    status.NOT_FOUND,
    `The ledger knows no pool "${name}" of namespace "${namespace}": look at the conditions of the WorkerPool`,
  );
}
