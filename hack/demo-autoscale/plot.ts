/** Seconds since the start, and a value. */
export type Point = readonly [seconds: number, value: number];
export type Scale = (value: number) => number;

/** Maps `domain` onto `range`, which may run downwards, as the pixels of a page do. */
export function linearScale(domain: readonly [number, number], range: readonly [number, number]): Scale {
  const [from, to] = domain;
  const span = to - from || 1;
  return (value) => range[0] + ((value - from) / span) * (range[1] - range[0]);
}

/**
 * Round values from 0 to one at or above `max`, in steps of 1, 2 or 5 times a power of ten, about `count` of them. Steps
 * below 1 only where they are asked for: there are no halves of pods.
 */
export function niceTicks(max: number, count = 4, { whole = true } = {}): number[] {
  const rough = Math.max(max, Number.MIN_VALUE) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * power >= rough * (1 - 1e-9)) ?? 10;
  const step = whole ? Math.max(1, factor * power) : factor * power;
  const steps = Math.max(1, Math.ceil(max / step - 1e-9));
  // Multiplied, not added up: 0.1 + 0.2 is no label.
  return Array.from({ length: steps + 1 }, (_, index) => Number((index * step).toPrecision(12)));
}

const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600];

/** Seconds from 0 up to `seconds` that read well as minutes and seconds, at most `count` beside the first. */
export function timeTicks(seconds: number, count = 6): number[] {
  const step = TIME_STEPS.find((candidate) => seconds / candidate <= count) ?? Math.ceil(seconds / count);
  return Array.from({ length: Math.floor(seconds / step + 1e-9) + 1 }, (_, index) => index * step);
}

/** `3:05`. */
export function formatTime(seconds: number): string {
  const whole = Math.round(seconds);
  return `${Math.trunc(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** At most three digits behind the whole thousands: `12,400`, `31.5`, `0.25`. */
export function formatNumber(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString('en', { maximumFractionDigits: digits });
}

/** Straight lines from point to point. */
export function linePath(points: readonly Point[], x: Scale, y: Scale): string {
  return points
    .map(([seconds, value], index) => `${index === 0 ? 'M' : 'L'}${at(x(seconds))} ${at(y(value))}`)
    .join('');
}

/** A value holds until the next one comes: what is counted in whole pieces has no slopes. The last holds to `endSeconds`. */
export function stepPath(points: readonly Point[], x: Scale, y: Scale, endSeconds: number): string {
  const [first, ...rest] = points;
  if (first === undefined) return '';
  const start = `M${at(x(first[0]))} ${at(y(first[1]))}`;
  return `${start}${rest.map(([seconds, value]) => `H${at(x(seconds))}V${at(y(value))}`).join('')}H${at(x(endSeconds))}`;
}

/** What lies between the line and 0. */
export function areaPath(points: readonly Point[], x: Scale, y: Scale): string {
  const [first, last] = [points[0], points.at(-1)];
  if (first === undefined || last === undefined) return '';
  return `${linePath(points, x, y)}L${at(x(last[0]))} ${at(y(0))}L${at(x(first[0]))} ${at(y(0))}Z`;
}

/** The first point of the greatest value. */
export function peakOf(points: readonly Point[]): Point {
  return points.reduce<Point>((peak, point) => (point[1] > peak[1] ? point : peak), points[0] ?? [0, 0]);
}

/** A tenth of a pixel is finer than any screen. */
function at(pixels: number): string {
  return String(Math.round(pixels * 10) / 10);
}
