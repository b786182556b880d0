import { readFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { API_VERSION } from '../../core/kinds/meta.ts';
import { WORKER_POOL, WORKER_POOL_KIND } from '../../core/kinds/worker-pool.ts';
import type { Logger } from '../../core/logger.ts';
import type { KubeClient } from '../../kube/client.ts';

export interface DefaultPoolsOptions {
  client: KubeClient;
  /** YAML, one WorkerPool a document. */
  file: string;
  logger: Logger;
}

/** Owns the fields that the file gives; what others add to the pools stays. */
const FIELD_MANAGER = 'longshore-default-pools';

/** The API server judges the spec. */
const manifestShape = z.object({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal(WORKER_POOL_KIND),
  metadata: z.object({
    name: z.string().min(1),
    namespace: z.string().min(1),
    labels: z.record(z.string(), z.string()).exactOptional(),
    annotations: z.record(z.string(), z.string()).exactOptional(),
  }),
  spec: z.record(z.string(), z.unknown()),
});

/** Applies the WorkerPools of a file: when it changes, and when a controller comes to lead. */
export class DefaultPools {
  readonly #options: DefaultPoolsOptions;
  #applied: string | undefined;

  constructor(options: DefaultPoolsOptions) {
    this.#options = options;
  }

  /** Answers how many pools were applied. Rejects when the file or one of them is wrong; the others are applied all the same. */
  async runOnce(signal: AbortSignal): Promise<{ applied: number }> {
    const { client, file, logger } = this.#options;
    const text = await readFile(file, { encoding: 'utf8', signal });
    if (text === this.#applied) return { applied: 0 };
    const failures: unknown[] = [];
    let applied = 0;
    for (const manifest of parsePools(text, file)) {
      try {
        await client.applySsa(WORKER_POOL, manifest, { fieldManager: FIELD_MANAGER, signal });
        applied += 1;
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0)
      throw new AggregateError(failures, `Failed to apply ${failures.length} pools of ${file}`);
    this.#applied = text;
    logger.info({ pools: applied }, 'Applied the default pools');
    return { applied };
  }
}

function parsePools(text: string, file: string): z.output<typeof manifestShape>[] {
  const values = parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw new SyntaxError(`${file}: ${document.errors[0]?.message}`);
    return document.toJS() as unknown;
  });
  return values.filter((value) => value !== null).map((value) => manifestShape.parse(value));
}
