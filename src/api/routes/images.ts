import { type Request, type Response, Router } from 'express';
import { describeForeignContent, SNIFF_BYTES, sniffImage } from '../../types/image-convert/sniff.ts';
import { imageConvertType } from '../../types/image-convert/type.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { peekDimensions } from '../image-head.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { invalidInput, unavailable } from '../problem.ts';
import { tooLarge } from '../read-body.ts';
import { readUpload, type Upload } from '../read-upload.ts';
import { toIdempotencyKey, toNewJob } from '../submission.ts';
import { parseWith } from '../validation.ts';
import { acceptAndAnswer, submissionContext } from './jobs.ts';

/** What a form may add around a file of the largest size. */
const FORM_OVERHEAD_BYTES = 64 * 1_024;
const UPLOAD_TIME_FACTOR = 10;
/** The most pixels of an upload; the worker refuses more as well. */
const MAX_INPUT_PIXELS = 100_000_000;

/** Uploads of images to convert. */
export function imageRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  let uploads = 0;
  router.post('/v1/images', requireScope('submit'), async (req, res) => {
    const { imageBytes, maxUploads } = deps.limits;
    if (Number(req.headers['content-length'] ?? 0) > imageBytes + FORM_OVERHEAD_BYTES)
      throw tooLarge(imageBytes);
    if (uploads >= maxUploads) throw unavailable('Too many uploads are under way');
    uploads += 1;
    try {
      await submit(deps, req, res);
    } finally {
      uploads -= 1;
    }
  });
  return router;
}

async function submit(deps: ApiDeps, req: Request, res: Response): Promise<void> {
  const { namespace } = principalOf(res);
  const upload = await readUpload(req, {
    db: deps.db,
    namespace,
    maxBytes: deps.limits.imageBytes,
    timeoutMs: deps.limits.bodyTimeoutMs * UPLOAD_TIME_FACTOR,
    headBytes: SNIFF_BYTES,
    checkHead,
  });
  const { writer, name, mediaType } = upload.file;
  let complete = false;
  try {
    const input = parseWith(imageConvertType.input, toInput(upload));
    const header = req.get('Idempotency-Key');
    // Before the blob is kept: a wrong header leaves nothing behind either.
    toIdempotencyKey(header, null);
    const blob = await writer.complete();
    complete = true;
    const uniqueKey = toIdempotencyKey(header, { ...upload.fields, name, sha256: blob.sha256 });
    const blobs = [{ blobId: blob.blobId, role: 'input', name, mediaType } as const];
    const request = { type: imageConvertType.name, input };
    await acceptAndAnswer(
      deps,
      res,
      await toNewJob(request, submissionContext(deps, req, res), { blobs, uniqueKey }),
    );
  } finally {
    if (!complete) await writer.discard();
  }
}

const NUMBERS = new Set(['width', 'height', 'quality']);
const FLAGS = new Set(['enlarge', 'keepMetadata']);

/** Form fields are text: those that look like what the schema wants become it, the rest is left for the schema to refuse. */
function toInput({ fields }: Upload): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (NUMBERS.has(name) && /^-?\d{1,9}$/.test(value)) return [name, Number(value)];
      if (FLAGS.has(name) && /^(true|false)$/.test(value)) return [name, value === 'true'];
      return [name, value];
    }),
  );
}

function checkHead(head: Buffer): void {
  const image = sniffImage(head);
  if (image === null) {
    const found = describeForeignContent(head);
    throw invalidInput({
      pointer: '/file',
      detail: found === null ? 'is no image of a supported format' : `is ${found}, not an image to convert`,
    });
  }
  const size = peekDimensions(image.format, head);
  if (size !== null && size.width * size.height > MAX_INPUT_PIXELS) {
    throw invalidInput({ pointer: '/file', detail: `has more than ${MAX_INPUT_PIXELS} pixels` });
  }
}
