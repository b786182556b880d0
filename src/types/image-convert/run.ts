import { basename } from 'node:path/posix';
import sharp, { type OutputInfo, type Sharp } from 'sharp';
import { sanitizeText, TerminalError } from '../../core/errors.ts';
import {
  type BlobReader,
  defineHandler,
  type HandlerContext,
  type Registration,
} from '../../core/handler.ts';
import { hasGifEnd } from './gif-end.ts';
import { type OutputPlan, planOutput, type Size } from './plan-output.ts';
import { describeForeignContent, findTypeLie, type ImageFormat, mediaTypeOf, sniffImage } from './sniff.ts';
import { type ImageConvertInput, type ImageConvertResult, imageConvertType } from './type.ts';

export interface ImageConvertSettings {
  /** The largest file that is read. Defaults to 32 MiB. */
  maxInputBytes?: number;
  /** The most pixels (width × height × frames) that are decoded. Defaults to 50,000,000. */
  maxInputPixels?: number;
  /** The most frames of an animation or pages of a TIFF. Defaults to 500. */
  maxFrames?: number;
  /**
   * The longest that one conversion may compute, seconds. libvips keeps it between pieces of an image; the AVIF encoder
   * takes the image as one piece and is bounded by its pixels alone (about 1.6 s a megapixel of noise). Defaults to 60.
   */
  maxSeconds?: number;
}

/** What the header of an image says. */
interface Source {
  format: ImageFormat;
  /** One frame, after the EXIF orientation. */
  size: Size;
  frames: number;
  animated: boolean;
}

/** Loaders that read from memory, for the six formats; no other decoder of libvips can be reached. */
const LOADERS = ['Jpeg', 'Png', 'Webp', 'Heif', 'Nsgif', 'Tiff'].map(
  (name) => `VipsForeignLoad${name}Buffer`,
);

/** Compressing AVIF harder than this takes many times as long for a few per cent. */
const AVIF_EFFORT = 3;

/**
 * Sets libvips up for a worker: one thread an image (the worker's concurrency uses the cores), no cache (each image is
 * seen once), and only the decoders that the job type needs. May be called again.
 */
export function initialiseSharp(): void {
  sharp.concurrency(1);
  sharp.cache(false);
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({ operation: LOADERS });
}

/**
 * The handler of `image-convert`. A TIFF of several pages and an animation that becomes a still format give their first
 * frame; gif and webp keep all frames of each other. Running it twice is safe: only a committed result's blob stays.
 */
export function createImageConvertHandler(settings: ImageConvertSettings = {}): Registration {
  initialiseSharp();
  const limits = {
    maxInputBytes: 32 * 1024 * 1024,
    maxInputPixels: 50_000_000,
    maxFrames: 500,
    maxSeconds: 60,
    ...settings,
  };
  return defineHandler(imageConvertType, (context) => convert(context, limits));
}

async function convert(
  context: HandlerContext<ImageConvertInput>,
  limits: Required<ImageConvertSettings>,
): Promise<ImageConvertResult> {
  const { input, signal } = context;
  const blob = await findInput(context, limits.maxInputBytes);
  const content = await blob.read();
  signal.throwIfAborted();
  context.progress(0.1, 'Read');

  const source = await readHeader(content, identify(blob, content), input.format, limits);
  const plan = planOutput(source.size, source.animated ? source.frames : 1, input);
  signal.throwIfAborted();
  context.progress(0.2, 'Converting');

  const { data, info } = await render(content, source, plan, input, limits);
  signal.throwIfAborted();
  context.progress(0.9, 'Storing');

  const name = resultName(blob.name, input.format);
  const mediaType = mediaTypeOf(input.format);
  const stored = await context.blobs.put(data, name, mediaType);
  return {
    name,
    mediaType,
    format: input.format,
    bytes: stored.bytes,
    sha256: stored.sha256,
    width: info.width,
    height: source.animated ? (info.pageHeight ?? info.height) : info.height,
    frames: source.animated ? source.frames : 1,
    source: { format: source.format, bytes: content.length, ...source.size, frames: source.frames },
  };
}

async function findInput(context: HandlerContext, maxInputBytes: number): Promise<BlobReader> {
  const [blob] = await context.blobs.inputs();
  if (blob === undefined) throw new TerminalError('ImageMissing', 'The job has no uploaded image');
  if (blob.bytes === 0) throw new TerminalError('ImageEmpty', 'The uploaded file is empty');
  if (blob.bytes > maxInputBytes) {
    throw new TerminalError(
      'ImageTooLarge',
      `The file has ${blob.bytes} bytes; at most ${maxInputBytes} are read`,
    );
  }
  return blob;
}

/** Trusts the bytes, and refuses a file whose name or declared type says something else. */
function identify(blob: BlobReader, content: Buffer): ImageFormat {
  const sniffed = sniffImage(content);
  if (sniffed === null) {
    const what = describeForeignContent(content) ?? 'no image in a supported format';
    throw new TerminalError('NotAnImage', `The file is ${what}`);
  }
  const lie = findTypeLie(sniffed.format, blob);
  if (lie !== null) {
    const said = sanitizeText(lie, 100);
    throw new TerminalError(
      'ImageTypeMismatch',
      `The file says that it is ${said} but its content is ${sniffed.format}`,
    );
  }
  return sniffed.format;
}

/** Reads the header alone and applies the limits to it, so that a bomb is refused before it is decoded. */
async function readHeader(
  content: Buffer,
  format: ImageFormat,
  target: ImageFormat,
  limits: Required<ImageConvertSettings>,
): Promise<Source> {
  const meta = await sharp(content, { limitInputPixels: false }).metadata().catch(throwDamaged);
  const frames = meta.pages ?? 1;
  if (frames > limits.maxFrames) {
    throw new TerminalError(
      'TooManyFrames',
      `The image has ${frames} frames; at most ${limits.maxFrames} are read`,
    );
  }
  const size = { width: meta.autoOrient.width, height: meta.autoOrient.height };
  const animated = frames > 1 && canAnimate(format) && canAnimate(target);
  const pixels = size.width * size.height * (animated ? frames : 1);
  if (pixels > limits.maxInputPixels) {
    const all = animated ? ` × ${frames} frames` : '';
    throw new TerminalError(
      'TooManyPixels',
      `The image has ${size.width} × ${size.height} pixels${all}; at most ${limits.maxInputPixels} are read`,
    );
  }
  if (format === 'gif' && !hasGifEnd(content)) throw damaged('its end is missing');
  return { format, size, frames, animated };
}

function canAnimate(format: ImageFormat): boolean {
  return format === 'gif' || format === 'webp';
}

async function render(
  content: Buffer,
  source: Source,
  plan: OutputPlan,
  input: ImageConvertInput,
  limits: Required<ImageConvertSettings>,
): Promise<{ data: Buffer; info: OutputInfo }> {
  const image = sharp(content, {
    animated: source.animated,
    // An animation cannot be turned; the few that ask for it keep their frames instead.
    autoOrient: !source.animated,
    limitInputPixels: limits.maxInputPixels,
    failOn: 'warning',
  });
  const transparent = { r: 0, g: 0, b: 0, alpha: 0 };
  if (plan.width !== source.size.width || plan.height !== source.size.height) {
    image.resize({ ...plan, background: input.format === 'jpeg' ? 'white' : transparent });
  }
  if (input.format === 'jpeg') image.flatten({ background: 'white' });
  if (input.keepMetadata) image.keepMetadata();
  const started = performance.now();
  try {
    return await encode(image, input)
      .timeout({ seconds: limits.maxSeconds })
      .toBuffer({ resolveWithObject: true });
  } catch (error) {
    // libvips has no error codes: that the time is over is told by the clock, not by the message.
    if (performance.now() - started >= limits.maxSeconds * 1_000) {
      throw new TerminalError('ConversionTimeout', `The conversion took longer than ${limits.maxSeconds} s`);
    }
    return throwDamaged(error);
  }
}

function encode(image: Sharp, { format, quality }: ImageConvertInput): Sharp {
  const lossy = quality === undefined ? {} : { quality };
  switch (format) {
    case 'jpeg':
      return image.jpeg(lossy);
    case 'webp':
      return image.webp(lossy);
    case 'avif':
      return image.avif({ ...lossy, effort: AVIF_EFFORT });
    case 'png':
      return image.png();
    case 'gif':
      return image.gif();
    case 'tiff':
      return image.tiff({ compression: 'lzw', predictor: 'horizontal' });
    default:
      return format satisfies never;
  }
}

/** Type, limits and sizes are checked before, so what libvips still refuses is cut off or broken inside. */
function throwDamaged(error: unknown): never {
  throw damaged(error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error));
}

function damaged(reason: string): TerminalError {
  return new TerminalError('ImageDamaged', `The image is cut off or damaged: ${sanitizeText(reason, 200)}`);
}

function resultName(name: string, format: ImageFormat): string {
  const stem = basename(sanitizeText(name, 200).replaceAll('\\', '/')).replace(/\.[A-Za-z0-9]{1,8}$/, '');
  return `${/^[. ]*$/.test(stem) ? 'image' : stem}.${format === 'jpeg' ? 'jpg' : format}`;
}
