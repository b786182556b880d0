export interface KneePoint {
  /** Requests a second. */
  rate: number;
  /** Milliseconds. */
  p99: number;
  errors: number;
}

const WIDTH = 640;
const HEIGHT = 320;
const MARGIN = 50;

/** Latency over rate as an SVG; rates with errors are hollow. The scale of latencies is logarithmic: at the knee they jump. */
export function drawKnee(points: readonly KneePoint[]): string {
  const [low, high] = [Math.min(...points.map((p) => p.rate)), Math.max(...points.map((p) => p.rate))];
  const top = Math.max(100, ...points.map((p) => p.p99));
  const x = (rate: number) => MARGIN + ((rate - low) / Math.max(1, high - low)) * (WIDTH - 2 * MARGIN);
  const y = (ms: number) =>
    HEIGHT - MARGIN - (Math.log10(Math.max(1, ms)) / Math.log10(top)) * (HEIGHT - 2 * MARGIN);
  const line = points.map(({ rate, p99 }) => `${x(rate).toFixed(1)},${y(p99).toFixed(1)}`).join(' ');
  const dots = points.map(
    ({ rate, p99, errors }) =>
      `<circle cx="${x(rate).toFixed(1)}" cy="${y(p99).toFixed(1)}" r="4" fill="${errors > 0 ? 'white' : '#0f6674'}" stroke="#0f6674"/>` +
      `<text x="${x(rate).toFixed(1)}" y="${HEIGHT - MARGIN + 18}" text-anchor="middle">${rate}</text>`,
  );
  const grid = [1, 10, 50, 100, 1_000, 10_000]
    .filter((ms) => ms <= top)
    .map(
      (ms) =>
        `<path d="M${MARGIN} ${y(ms).toFixed(1)}H${WIDTH - MARGIN}" stroke="#d7e3e6"/><text x="${MARGIN - 6}" y="${(y(ms) + 4).toFixed(1)}" text-anchor="end">${ms}</text>`,
    );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>
${grid.join('\n')}
<polyline points="${line}" fill="none" stroke="#0f6674" stroke-width="2"/>
${dots.join('\n')}
<text x="${WIDTH / 2}" y="${HEIGHT - 10}" text-anchor="middle">readings a second</text>
<text x="${MARGIN}" y="${MARGIN - 20}">p99, ms; hollow: errors or dropped requests</text>
</svg>
`;
}
