import { TerminalError } from '../../core/errors.ts';
import { type ImageConvertInput, MAX_OUTPUT_PIXELS, MAX_SIDE_PIXELS } from './type.ts';

export interface Size {
  width: number;
  height: number;
}

/** The exact size of one frame of the result, and how the picture is brought to it. */
export interface OutputPlan extends Size {
  fit: 'fill' | 'cover' | 'contain';
}

type Resize = Pick<ImageConvertInput, 'width' | 'height' | 'fit' | 'enlarge'>;

/**
 * Decides the result's size before a pixel is decoded, because a bound on the input does not bound a resize. Without
 * `enlarge` no picture is scaled up: `inside` and `outside` keep its size, `cover` and `contain` shrink their box until
 * it fits, keeping the box's shape, and `fill` keeps the shorter of both for each side.
 *
 * @param source - One frame, after its EXIF orientation.
 * @throws TerminalError `OutputTooLarge` when a side or all frames together exceed what Longshore writes.
 */
export function planOutput(source: Size, frames: number, resize: Resize): OutputPlan {
  const plan = planSize(source, resize);
  const side = Math.max(plan.width, plan.height);
  if (side > MAX_SIDE_PIXELS || plan.width * plan.height * frames > MAX_OUTPUT_PIXELS) {
    const all = frames > 1 ? ` × ${frames} frames` : '';
    throw new TerminalError(
      'OutputTooLarge',
      `The result would have ${plan.width} × ${plan.height} pixels${all}; at most ${MAX_SIDE_PIXELS} a side and ${MAX_OUTPUT_PIXELS} in all are written`,
    );
  }
  return plan;
}

function planSize(source: Size, { width, height, fit, enlarge }: Resize): OutputPlan {
  const bounded = (scale: number) => (enlarge ? scale : Math.min(1, scale));
  if (width === undefined || height === undefined) {
    const scale = width === undefined ? (height ?? source.height) / source.height : width / source.width;
    return { ...scaled(source, bounded(scale)), fit: 'fill' };
  }
  const horizontal = width / source.width;
  const vertical = height / source.height;
  switch (fit) {
    case 'inside':
      return { ...scaled(source, bounded(Math.min(horizontal, vertical))), fit: 'fill' };
    case 'outside':
      return { ...scaled(source, bounded(Math.max(horizontal, vertical))), fit: 'fill' };
    case 'fill':
      return {
        width: enlarge ? width : Math.min(width, source.width),
        height: enlarge ? height : Math.min(height, source.height),
        fit,
      };
    case 'cover': {
      const scale = Math.max(horizontal, vertical);
      return { ...scaled({ width, height }, bounded(scale) / scale), fit };
    }
    case 'contain': {
      const scale = Math.min(horizontal, vertical);
      return { ...scaled({ width, height }, bounded(scale) / scale), fit };
    }
    default:
      return fit satisfies never;
  }
}

function scaled(size: Size, scale: number): Size {
  return {
    width: Math.max(1, Math.round(size.width * scale)),
    height: Math.max(1, Math.round(size.height * scale)),
  };
}
