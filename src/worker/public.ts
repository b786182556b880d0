/**
 * The entry for people who write handlers of their own: `import { defineJobType, defineHandler, startWorker } from
 * 'longshore/worker'`. What is exported here is the public contract; everything else may change.
 */
export {
  HandBackError,
  LeaseLostError,
  LongshoreError,
  RetryableError,
  TerminalError,
} from '../core/errors.ts';
export {
  type BlobReader,
  type BudgetRequest,
  defineHandler,
  type Handler,
  type HandlerContext,
  type HandlerFetch,
  type HandlerResponse,
  type JobBlobs,
  type PauseBudget,
  type Registration,
  type StoredBlob,
  type TakeBudget,
} from '../core/handler.ts';
export type { Backoff } from '../core/job.ts';
export {
  defineJobType,
  type JobType,
  type JobTypeDefaults,
  type JobTypeDefinition,
  type JobTypeLimits,
} from '../core/job-type.ts';
export type { Logger } from '../core/logger.ts';
export { JobStopped, type StopReason } from './lease-keeper.ts';
export { startWorker } from './main.ts';
