import { byId, h, icon } from './dom.js';
import { FORMAT_NAMES, formatBytes } from './format.js';
import { ImageCard } from './image-card.js';

/** Formats with a quality, and what the server takes when none is given. */
const DEFAULT_QUALITY = { jpeg: 80, webp: 80, avif: 50 };
/** Together with event streams and polls they stay below the six connections that a browser opens to a host. */
const MAX_UPLOADS = 2;

/** The form that takes pictures, and the cards of those on their way. */
export function startImagePanel() {
  const form = byId('image-form');
  const input = byId('image-files');
  let chosen = [];
  const choose = (files) => {
    chosen = [...chosen, ...files];
    drawChosen(chosen, (file) => {
      chosen = chosen.filter((other) => other !== file);
      choose([]);
      input.focus();
    });
    describeSubmit(chosen.length, formatOf(form));
  };
  input.addEventListener('change', () => {
    choose(input.files);
    // The same file may be chosen again.
    input.value = '';
  });
  takeDrops(choose);
  byId('image-format').addEventListener('change', () => {
    fitQuality(formatOf(form));
    describeSubmit(chosen.length, formatOf(form));
  });
  byId('image-quality').addEventListener('input', () => showQuality());
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (chosen.length === 0) {
      input.click();
      return;
    }
    convert(chosen, readOptions(form));
    chosen = [];
    choose([]);
  });
  fitQuality(formatOf(form));
}

function formatOf(form) {
  return new FormData(form).get('format');
}

/** What the form says, without what was left to the server. */
function readOptions(form) {
  const format = formatOf(form);
  const width = byId('image-width').value;
  return {
    format,
    ...(width === '' ? {} : { width }),
    ...(format in DEFAULT_QUALITY ? { quality: byId('image-quality').value } : {}),
  };
}

function fitQuality(format) {
  const slider = byId('image-quality');
  const quality = DEFAULT_QUALITY[format];
  byId('quality-field').classList.toggle('without', quality === undefined);
  slider.disabled = quality === undefined;
  if (quality !== undefined) slider.value = quality;
  showQuality();
}

function showQuality() {
  const slider = byId('image-quality');
  byId('quality-value').textContent = slider.disabled ? 'lossless' : slider.value;
}

function describeSubmit(count, format) {
  const what = count === 1 ? '1 picture' : `${count} pictures`;
  byId('image-submit').textContent =
    count === 0 ? 'Choose pictures' : `Convert ${what} to ${FORMAT_NAMES[format]}`;
}

function drawChosen(files, onRemove) {
  byId('image-chosen').replaceChildren(
    ...files.map((file) =>
      h(
        'li.chip',
        {},
        h('span.chip-name', { title: file.name }, file.name),
        h('span.quiet', {}, formatBytes(file.size)),
        h(
          'button.bare',
          { type: 'button', 'aria-label': `Remove ${file.name}`, onclick: () => onRemove(file) },
          icon('cross'),
        ),
      ),
    ),
  );
}

/** Files may be dropped anywhere: a near miss must not make the browser leave the page for the file. */
function takeDrops(choose) {
  const zone = byId('drop-zone');
  const carriesFiles = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragover', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    zone.classList.add('over');
  });
  addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) zone.classList.remove('over');
  });
  addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    zone.classList.remove('over');
    choose(event.dataTransfer.files);
  });
}

const queue = [];
let running = 0;

function convert(files, options) {
  const cards = files.map((file) => new ImageCard(file, options));
  byId('image-cards').prepend(...cards.map((card) => card.element));
  queue.push(...cards);
  while (running < MAX_UPLOADS && queue.length > 0) void work();
}

async function work() {
  running += 1;
  for (let card = queue.shift(); card !== undefined; card = queue.shift()) {
    // The job runs by itself once the upload is through: the next one need not wait for it.
    const { uploaded } = card.start();
    await uploaded;
  }
  running -= 1;
}
