import { h } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 360;
const HEIGHT = 120;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** What accepted readings say of each month, the oldest first; at most the last twelve. */
export function consumptionByMonth(readings) {
  const sums = new Map();
  for (const { day, status, consumption } of readings) {
    if (status !== 'ACCEPTED') continue;
    const month = day.slice(0, 7);
    sums.set(month, (sums.get(month) ?? 0) + consumption);
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).slice(-12);
}

export function monthName(month) {
  return `${MONTHS[Number(month.slice(5)) - 1]} ${month.slice(0, 4)}`;
}

/** Bars, one a month; who does not see them is told the same in words. */
export function consumptionChart(readings) {
  const months = consumptionByMonth(readings);
  if (months.length === 0) return h('p.quiet', {}, 'No reading has been accepted yet.');
  const most = Math.max(1, ...months.map(([, sum]) => sum));
  const words = months.map(([month, sum]) => `${monthName(month)}: ${sum}`).join(', ');
  const chart = element('svg', {
    class: 'chart',
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: 'img',
    'aria-label': words,
  });
  const step = WIDTH / Math.max(6, months.length);
  for (const [index, [month, sum]] of months.entries()) {
    const height = Math.max(1, (sum / most) * (HEIGHT - 36));
    const x = index * step;
    const bar = { x: x + step * 0.2, y: HEIGHT - 18 - height, width: step * 0.6, height, rx: 2 };
    chart.append(
      element('rect', bar),
      text(x + step / 2, HEIGHT - 22 - height, String(sum)),
      text(x + step / 2, HEIGHT - 4, monthName(month).slice(0, 3)),
    );
  }
  return chart;
}

function text(x, y, content) {
  const node = element('text', { x, y });
  node.textContent = content;
  return node;
}

function element(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}
