import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Response } from 'express';
import yazl from 'yazl';
import type { Job } from '../core/job.ts';
import { listJobBlobs, readBlob } from '../ledger/blobs.ts';
import type { Database } from '../ledger/database.ts';
import {
  type ContractSourceResult,
  contractManifest,
  listContractFiles,
} from '../types/contract-source/type.ts';
import { setDownloadHeaders } from './content.ts';
import { Problem } from './problem.ts';

/**
 * Sends a contract's files as a zip: under their safe names, with a manifest that tells each one's true path. The time of
 * every entry is the job's end, so that the same source makes the same zip.
 */
export async function sendSourceZip(
  db: Database,
  res: Response,
  job: Job,
  source: ContractSourceResult,
): Promise<void> {
  const zip = new yazl.ZipFile();
  const mtime = new Date(job.finishedAtMs ?? 0);
  const options = { mtime, mode: 0o100644 };
  const contents = await loadContents(db, job, source);
  for (const file of listContractFiles(source)) {
    if (file.content !== undefined) {
      zip.addBuffer(Buffer.from(file.content), file.entry, options);
      continue;
    }
    const blobId = file.blobId ?? '';
    if (!contents.has(blobId)) throw new Problem('ResultGone', 'The files are not kept any more');
    // Opened only when the zip comes to it: thousands of files must not hold thousands of reads open.
    zip.addReadStreamLazy(file.entry, options, (done) =>
      done(null, Readable.from(readBlob(db, blobId, 0, file.bytes), { objectMode: false })),
    );
  }
  zip.addBuffer(Buffer.from(JSON.stringify(contractManifest(source), null, 2)), 'manifest.json', options);
  zip.on('error', (error) => res.destroy(error as Error));
  setDownloadHeaders(res, `${source.chainId}-${source.address}.zip`, 'application/zip');
  zip.end();
  await pipeline(zip.outputStream, res);
}

/** The ids of the blobs that the job owns and that are still kept. */
async function loadContents(db: Database, job: Job, source: ContractSourceResult): Promise<Set<string>> {
  if (source.storage === 'inline') return new Set();
  const blobs = await listJobBlobs(db, job.namespace, job.id, 'result');
  return new Set(blobs.filter((blob) => blob.stored).map((blob) => blob.blobId));
}
