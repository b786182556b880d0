import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { runHandler, type TestContextOptions } from '../../../test/support/handler-context.ts';
import { createBlackPng, createTinyGif } from '../../../test/support/image-bombs.ts';
import { createImageConvertHandler, type ImageConvertSettings } from './run.ts';
import { IMAGE_FORMATS, type ImageFormat, mediaTypeOf, sniffImage } from './sniff.ts';
import type { ImageConvertResult } from './type.ts';

const WIDTH = 90;
const HEIGHT = 60;

/** One noisy picture (so that no format makes it trivial) in each format, and an animation of three frames. */
const samples = {} as Record<ImageFormat, Buffer>;
let animatedGif: Buffer;

beforeAll(async () => {
  createImageConvertHandler();
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  const picture = await sharp({
    create: { width: WIDTH, height: HEIGHT, channels: 3, background: 'red', noise },
  })
    .png()
    .toBuffer();
  for (const format of IMAGE_FORMATS) samples[format] = await sharp(picture).toFormat(format).toBuffer();
  const colours = ['red', 'lime', 'blue'];
  const raw = colours.map((background) => ({
    create: { width: 40, height: 30, channels: 3 as const, background },
  }));
  const frames = await Promise.all(raw.map((options) => sharp(options).png().toBuffer()));
  animatedGif = await sharp(frames, { join: { animated: true } })
    .gif({ delay: [100, 200, 300] })
    .toBuffer();
});

interface Upload {
  content: Uint8Array;
  name?: string;
  mediaType?: string;
}

async function convert(
  upload: Upload,
  input: object,
  settings: ImageConvertSettings = {},
  options: TestContextOptions = {},
) {
  const uploads = [{ name: 'photo', ...upload }];
  const run = await runHandler<ImageConvertResult>(createImageConvertHandler(settings), input, {
    uploads,
    ...options,
  });
  return { ...run, output: run.stored[0]?.content ?? Buffer.alloc(0) };
}

async function codeOf(run: Promise<unknown>): Promise<string> {
  return run.then(
    () => 'Succeeded',
    (error: { code?: string; message: string }) => error.code ?? error.message,
  );
}

describe('image-convert', () => {
  const pairs = IMAGE_FORMATS.flatMap((from) => IMAGE_FORMATS.map((to) => [from, to] as const));

  it.each(pairs)('makes %s to %s', async (from, to) => {
    const { result, output, stored } = await convert({ content: samples[from] }, { format: to });
    expect(sniffImage(output)).toEqual({ format: to });
    expect(await sharp(output).metadata()).toMatchObject({ width: WIDTH, height: HEIGHT });
    expect(result).toMatchObject({
      format: to,
      mediaType: mediaTypeOf(to),
      bytes: output.length,
      width: WIDTH,
      height: HEIGHT,
      frames: 1,
      source: { format: from, bytes: samples[from].length, width: WIDTH, height: HEIGHT },
    });
    expect(stored).toHaveLength(1);
  });

  it('converts the example photographs', async () => {
    for (const name of ['astronaut.png', 'rocket.jpg']) {
      const content = await readFile(new URL(`../../../examples/images/${name}`, import.meta.url));
      const upload = { content, name, mediaType: name.endsWith('png') ? 'image/png' : 'image/jpeg' };
      const { result, progress } = await convert(upload, { format: 'webp', width: 200, quality: 70 });
      expect(result).toMatchObject({ name: name.replace(/\.\w+$/, '.webp'), width: 200 });
      expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    }
  });

  it.each([
    ['../../etc/passwd.png', 'passwd.jpg'],
    ['C:\\pictures\\sea.png', 'sea.jpg'],
    ['a\0b.png', 'a b.jpg'],
    ['.png', 'image.jpg'],
  ])('calls the result of %j %j', async (name, expected) => {
    expect((await convert({ content: samples.png, name }, { format: 'jpeg' })).result.name).toBe(expected);
  });

  it('lays transparency on white for jpeg', async () => {
    const transparent = {
      width: 8,
      height: 8,
      channels: 4 as const,
      background: { r: 0, g: 0, b: 0, alpha: 0 },
    };
    const content = await sharp({ create: transparent }).png().toBuffer();
    const { output } = await convert({ content }, { format: 'jpeg' });
    expect((await sharp(output).stats()).channels[0]?.min).toBeGreaterThan(250);
  });
});

describe('image-convert with metadata', () => {
  const photo = () =>
    sharp(samples.jpeg)
      .withExif({
        IFD0: { Copyright: 'A. Nyone' },
        IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '51/1 30/1 0/1' },
      })
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();

  it('turns a photograph as its EXIF says and drops where it was taken', async () => {
    const content = await photo();
    expect((await sharp(content).metadata()).orientation).toBe(6);
    for (const format of ['jpeg', 'webp', 'png', 'avif', 'tiff'] as const) {
      const { result, output } = await convert({ content }, { format });
      expect(result).toMatchObject({
        width: HEIGHT,
        height: WIDTH,
        source: { width: HEIGHT, height: WIDTH },
      });
      const meta = await sharp(output).metadata();
      expect(meta.exif).toBeUndefined();
      expect(meta.orientation ?? 1).toBe(1);
    }
  });

  it('keeps it when asked, but for the orientation that was applied', async () => {
    const { output } = await convert({ content: await photo() }, { format: 'jpeg', keepMetadata: true });
    const meta = await sharp(output).metadata();
    expect(meta.exif?.includes('A. Nyone')).toBe(true);
    expect(meta.orientation ?? 1).toBe(1);
    expect(meta).toMatchObject({ width: HEIGHT, height: WIDTH });
  });
});

describe('image-convert with animations', () => {
  it('keeps the frames and their times between gif and webp', async () => {
    const webp = await convert({ content: animatedGif }, { format: 'webp', width: 20 });
    expect(webp.result).toMatchObject({ width: 20, height: 15, frames: 3, source: { frames: 3 } });
    expect(await sharp(webp.output).metadata()).toMatchObject({ pages: 3, delay: [100, 200, 300] });
    const back = await convert({ content: webp.output }, { format: 'gif' });
    expect(back.result).toMatchObject({ width: 20, height: 15, frames: 3 });
    expect(await sharp(back.output).metadata()).toMatchObject({ pages: 3, delay: [100, 200, 300] });
  });

  it.each(['cover', 'contain', 'fill'])('resizes each frame with fit %s', async (fit) => {
    const { output, result } = await convert(
      { content: animatedGif },
      { format: 'webp', width: 20, height: 20, fit },
    );
    expect(result).toMatchObject({ width: 20, height: 20, frames: 3 });
    expect(await sharp(output).metadata()).toMatchObject({ width: 20, height: 20, pages: 3 });
  });

  it('gives the first frame to still formats', async () => {
    const { result } = await convert({ content: animatedGif }, { format: 'png' });
    expect(result).toMatchObject({ width: 40, height: 30, frames: 1, source: { frames: 3 } });
  });

  it('refuses an animation that is cut off', async () => {
    for (const part of [0.3, 0.6, 0.9, 0.999]) {
      const content = animatedGif.subarray(0, Math.floor(animatedGif.length * part));
      expect(await codeOf(convert({ content }, { format: 'webp' }))).toBe('ImageDamaged');
    }
  });

  it('refuses 10,000 frames and, by their sum, too many pixels', async () => {
    expect(await codeOf(convert({ content: createTinyGif(10_000) }, { format: 'webp' }))).toBe(
      'TooManyFrames',
    );
    const few = { maxInputPixels: 3_000 };
    expect(await codeOf(convert({ content: animatedGif }, { format: 'webp' }, few))).toBe('TooManyPixels');
    expect(await codeOf(convert({ content: animatedGif }, { format: 'png' }, few))).toBe('Succeeded');
  });
});

describe('image-convert of what is no image', () => {
  it.each<[string, Upload, string]>([
    ['an empty file', { content: Buffer.alloc(0) }, 'ImageEmpty'],
    ['text', { content: Buffer.from('not an image') }, 'NotAnImage'],
    [
      'SVG',
      { content: Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>') },
      'NotAnImage',
    ],
    [
      'HTML called jpg',
      { content: Buffer.from('<html></html>'), name: 'a.jpg', mediaType: 'image/jpeg' },
      'NotAnImage',
    ],
    ['a signature alone', { content: Buffer.from('\x89PNG\r\n\x1a\n', 'latin1') }, 'ImageDamaged'],
    ['a signature and noise', { content: Buffer.from(`GIF89a${'x'.repeat(500)}`) }, 'ImageDamaged'],
  ])('refuses %s', async (_what, upload, code) => {
    expect(await codeOf(convert(upload, { format: 'png' }))).toBe(code);
  });

  it('refuses a file that lies about its type, and says how', async () => {
    const upload = { content: samples.png, name: 'a.jpg', mediaType: 'image/jpeg' };
    await expect(convert(upload, { format: 'webp' })).rejects.toThrow(/image\/jpeg but its content is png/);
    const byName = { content: samples.png, name: 'a.gif' };
    expect(await codeOf(convert(byName, { format: 'webp' }))).toBe('ImageTypeMismatch');
  });

  it('refuses a job without an upload and a file that is too large', async () => {
    expect(await codeOf(convert({ content: samples.png }, { format: 'png' }, {}, { uploads: [] }))).toBe(
      'ImageMissing',
    );
    expect(await codeOf(convert({ content: samples.png }, { format: 'png' }, { maxInputBytes: 100 }))).toBe(
      'ImageTooLarge',
    );
  });
});

describe('image-convert of damaged images', () => {
  it.each(IMAGE_FORMATS)('refuses a %s that is cut off anywhere', async (format) => {
    const whole = samples[format];
    for (let part = 1; part < 20; part += 1) {
      const content = whole.subarray(0, Math.floor((whole.length * part) / 20));
      const code = await codeOf(convert({ content }, { format: 'png' }));
      expect(['ImageDamaged', 'NotAnImage'], `${format} cut at ${part}/20: ${code}`).toContain(code);
    }
  });

  it.each(IMAGE_FORMATS)('survives a %s with flipped bits', async (format) => {
    const codes = new Set<string>();
    let seed = 42;
    for (let round = 0; round < 100; round += 1) {
      const content = Buffer.from(samples[format]);
      for (let flip = 0; flip < 4; flip += 1) {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        const at = seed % (flip === 0 ? Math.min(200, content.length) : content.length);
        content[at] = (content[at] ?? 0) ^ (1 << (seed % 8));
      }
      codes.add(await codeOf(convert({ content }, { format: 'jpeg' })));
    }
    const known = [
      'Succeeded',
      'ImageDamaged',
      'NotAnImage',
      'TooManyPixels',
      'TooManyFrames',
      'OutputTooLarge',
    ];
    expect([...codes].filter((code) => !known.includes(code))).toEqual([]);
  });
});

describe('image-convert within limits', () => {
  it('refuses a PNG of 50,000 × 50,000 pixels before decoding it', async () => {
    const content = createBlackPng(50_000, 50_000);
    expect(content.length).toBeLessThan(1_000_000);
    const before = process.memoryUsage.rss();
    const started = performance.now();
    await expect(convert({ content }, { format: 'png', width: 100 })).rejects.toMatchObject({
      code: 'TooManyPixels',
      message: 'The image has 50000 × 50000 pixels; at most 50000000 are read',
    });
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(process.memoryUsage.rss() - before).toBeLessThan(100_000_000);
  });

  it('refuses what would become too large', async () => {
    const content = createBlackPng(1, 10_000);
    expect(await codeOf(convert({ content }, { format: 'png', width: 2, enlarge: true }))).toBe(
      'OutputTooLarge',
    );
    expect(await codeOf(convert({ content: createBlackPng(1, 20_000) }, { format: 'webp' }))).toBe(
      'OutputTooLarge',
    );
  });

  it('stops a conversion that takes too long', async () => {
    const resize = { format: 'png', width: 8_400, enlarge: true };
    expect(await codeOf(convert({ content: samples.png }, resize, { maxSeconds: 1 }))).toBe(
      'ConversionTimeout',
    );
  });

  it('does not begin when the job is cancelled', async () => {
    const signal = AbortSignal.abort(new Error('Cancelled by its owner'));
    await expect(convert({ content: samples.png }, { format: 'png' }, {}, { signal })).rejects.toThrow(
      'Cancelled',
    );
  });
});
