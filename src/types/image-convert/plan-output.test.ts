import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TerminalError } from '../../core/errors.ts';
import { planOutput, type Size } from './plan-output.ts';
import { imageConvertType, MAX_OUTPUT_PIXELS, MAX_SIDE_PIXELS } from './type.ts';

const photo = { width: 600, height: 400 };
const plan = (resize: object, source: Size = photo) =>
  planOutput(source, 1, imageConvertType.input.parse({ format: 'png', ...resize }) as never);

describe('planOutput', () => {
  it.each([
    [{}, 600, 400],
    [{ width: 300 }, 300, 200],
    [{ height: 100 }, 150, 100],
    [{ width: 1_200 }, 600, 400],
    [{ width: 1_200, enlarge: true }, 1_200, 800],
    [{ width: 300, height: 300 }, 300, 200],
    [{ width: 300, height: 300, fit: 'outside' }, 450, 300],
    [{ width: 300, height: 300, fit: 'cover' }, 300, 300],
    [{ width: 800, height: 800, fit: 'cover' }, 400, 400],
    [{ width: 800, height: 800, fit: 'cover', enlarge: true }, 800, 800],
    [{ width: 300, height: 300, fit: 'contain' }, 300, 300],
    [{ width: 1_200, height: 1_200, fit: 'contain' }, 600, 600],
    [{ width: 1_000, height: 50, fit: 'fill' }, 600, 50],
    [{ width: 1_000, height: 50, fit: 'fill', enlarge: true }, 1_000, 50],
  ])('brings 600 × 400 with %j to %i × %i', (resize, width, height) => {
    expect(plan(resize)).toMatchObject({ width, height });
  });

  it('bounds the side that follows from the aspect ratio', () => {
    expect(() => plan({ width: 1_000, enlarge: true }, { width: 10, height: 1_000 })).toThrow(TerminalError);
    expect(() => plan({}, { width: 1, height: 1_000_000 })).toThrow('at most 16383 a side');
  });

  it('counts all frames', () => {
    expect(() => planOutput({ width: 1_000, height: 1_000 }, 51, { fit: 'inside', enlarge: false })).toThrow(
      '× 51 frames',
    );
  });

  it('never exceeds the limits, and never enlarges unless asked', () => {
    const side = fc.integer({ min: 1, max: MAX_SIDE_PIXELS });
    const wish = fc.option(side, { nil: undefined });
    const fit = fc.constantFrom('inside', 'outside', 'cover', 'contain', 'fill');
    fc.assert(
      fc.property(side, side, wish, wish, fit, fc.boolean(), (width, height, w, h, how, enlarge) => {
        try {
          const resize = { fit: how, enlarge, ...(w && { width: w }), ...(h && { height: h }) } as never;
          const result = planOutput({ width, height }, 1, resize);
          expect(result.width * result.height).toBeLessThanOrEqual(MAX_OUTPUT_PIXELS);
          expect(Math.max(result.width, result.height)).toBeLessThanOrEqual(MAX_SIDE_PIXELS);
          expect(Math.min(result.width, result.height)).toBeGreaterThanOrEqual(1);
          if (!enlarge && how !== 'contain') {
            expect(result.width).toBeLessThanOrEqual(width);
            expect(result.height).toBeLessThanOrEqual(height);
          }
        } catch (error) {
          if (!(error instanceof TerminalError)) throw error;
        }
      }),
    );
  });
});

describe('the input', () => {
  it.each([
    { format: 'svg' },
    { format: 'heif' },
    {},
    { format: 'png', width: 0 },
    { format: 'png', width: 16_384 },
    { format: 'png', width: 12.5 },
    { format: 'png', width: '100' },
    { format: 'png', width: 16_000, height: 16_000 },
    { format: 'png', quality: 101 },
    { format: 'png', fit: 'none' },
    { format: 'png', extra: 1 },
  ])('refuses %j', (input) => {
    expect(imageConvertType.input.safeParse(input).success).toBe(false);
  });
});
