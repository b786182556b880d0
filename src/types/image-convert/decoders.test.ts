import sharp from 'sharp';
import { expect, it } from 'vitest';
import { initialiseSharp } from './run.ts';

it('leaves no decoder within reach but those of the six formats', async () => {
  initialiseSharp();
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
  await expect(sharp(svg).metadata()).rejects.toThrow('unsupported image format');
  const ppm = Buffer.from('P6 1 1 255\n\0\0\0', 'latin1');
  await expect(sharp(ppm).metadata()).rejects.toThrow('unsupported image format');
  expect(sharp.concurrency()).toBe(1);
});
