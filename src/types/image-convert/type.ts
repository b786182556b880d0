import { z } from 'zod';
import { defineJobType } from '../../core/job-type.ts';
import { IMAGE_FORMATS } from './sniff.ts';

/** The longest side that every supported format can hold; WebP sets it. */
export const MAX_SIDE_PIXELS = 16_383;

/** The most pixels (width × height × frames) of a result. Enough for a photograph of 50 megapixels. */
export const MAX_OUTPUT_PIXELS = 50_000_000;

const side = z.int().min(1).max(MAX_SIDE_PIXELS);

const input = z
  .strictObject({
    format: z.enum(IMAGE_FORMATS).describe('What the image becomes'),
    width: side
      .optional()
      .describe('Pixels; with width or height alone the other follows from the aspect ratio'),
    height: side.optional().describe('Pixels'),
    fit: z
      .enum(['inside', 'outside', 'cover', 'contain', 'fill'])
      .default('inside')
      .describe(
        'How the image meets width and height when both are given. inside: as large as fits into them; outside: as small as covers them (both keep the aspect ratio and cut nothing); cover: exactly their shape, cut; contain: exactly their shape, padded; fill: exactly their shape, distorted',
      ),
    quality: z
      .int()
      .min(1)
      .max(100)
      .optional()
      .describe('Of jpeg (default 80), webp (80) and avif (50); png, gif and tiff take no notice of it'),
    enlarge: z
      .boolean()
      .default(false)
      .describe('Whether a small image may be scaled up; otherwise it keeps its size'),
    keepMetadata: z
      .boolean()
      .default(false)
      .describe('Keeps EXIF (with the place of a photograph, if it is there), XMP and the colour profile'),
  })
  .refine(({ width, height }) => (width ?? 1) * (height ?? 1) <= MAX_OUTPUT_PIXELS, {
    path: ['width'],
    message: `width × height must not exceed ${MAX_OUTPUT_PIXELS} pixels`,
  });

const result = z.strictObject({
  /** File name of the result: the upload's with the new extension. The bytes are the job's only result blob. */
  name: z.string(),
  mediaType: z.string(),
  format: z.enum(IMAGE_FORMATS),
  bytes: z.int(),
  sha256: z.string(),
  /** Pixels of one frame. */
  width: z.int(),
  height: z.int(),
  /** 1 for a still image. */
  frames: z.int(),
  /** The upload as it was: after its EXIF orientation, one frame. */
  source: z.strictObject({
    format: z.enum(IMAGE_FORMATS),
    bytes: z.int(),
    width: z.int(),
    height: z.int(),
    frames: z.int(),
  }),
});

export type ImageConvertInput = z.output<typeof input>;
export type ImageConvertResult = z.output<typeof result>;

/**
 * Converts the job's first input blob. Terminal errors: `ImageMissing`, `ImageEmpty`, `ImageTooLarge`, `NotAnImage`,
 * `ImageTypeMismatch`, `ImageDamaged`, `TooManyPixels`, `TooManyFrames`, `OutputTooLarge`, `ConversionTimeout`.
 */
export const imageConvertType = defineJobType({
  name: 'image-convert',
  description: 'Converts an uploaded image to jpeg, png, webp, avif, gif or tiff, resized if wanted',
  input,
  result,
  upload: 'POST /v1/images',
  defaults: { timeoutSeconds: 120, maxTimeoutSeconds: 600, retries: 2, ttlSecondsAfterFinished: 3_600 },
});
