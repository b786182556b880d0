import { callBlob } from './api.js';
import { announce, byId, h, icon, saveBlob } from './dom.js';
import { formatBytes } from './format.js';
import { highlight } from './highlight.js';
import { button } from './image-card.js';
import { problemView } from './problem.js';

/** Shows a contract: what it is, its files, one of them open, and all of them as a zip. */
export function sourceView(jobId, source) {
  const files = [
    ...source.files.map((file) => ({ file, group: null })),
    ...(source.implementation?.contract?.files ?? []).map((file) => ({ file, group: 'implementation' })),
  ];
  const pane = h('div.code-pane', { tabindex: '0', role: 'region', 'aria-label': 'Source file' });
  const buttons = files.map(({ file }, index) =>
    h(
      'button.file',
      { type: 'button', title: file.path, onclick: () => open(index) },
      icon('file'),
      fileName(file.path),
      h('span.quiet', {}, formatBytes(file.bytes)),
    ),
  );
  async function open(index) {
    buttons.forEach((control, at) => {
      control.setAttribute('aria-current', String(at === index));
    });
    const { file } = files[index];
    pane.setAttribute('aria-label', file.path);
    pane.replaceChildren(h('p.quiet.pane-note', {}, 'Loading…'));
    try {
      pane.replaceChildren(...drawCode(file.path, await readFile(jobId, file)));
      pane.scrollTo(0, 0);
    } catch (error) {
      pane.replaceChildren(problemView(error));
    }
  }
  if (files.length > 0) void open(0);
  const entries = buttons.map((control, index) => {
    const starts = files[index].group !== null && files[index - 1]?.group === null;
    return h('li', {}, starts ? h('p.file-group', {}, 'Implementation behind the proxy') : null, control);
  });
  return h(
    'div.source',
    {},
    h('div.source-head', {}, facts(source), zipButton(source)),
    h('div.source-body', {}, h('ul.files', { 'aria-label': 'Source files' }, entries), pane),
  );
}

/** The last part of a path is what one looks for; where it lies stands below. */
function fileName(path) {
  const slash = path.lastIndexOf('/');
  const folder = path.slice(0, slash + 1);
  return h(
    'span.file-name',
    {},
    path.slice(slash + 1),
    folder === '' ? null : h('span.file-folder', {}, folder),
  );
}

async function readFile(jobId, file) {
  if (file.content !== undefined) return file.content;
  const blob = await callBlob(`/v1/jobs/${jobId}/result?blob=${file.blobId}`);
  return blob.text();
}

function drawCode(path, text) {
  const lines = text.split('\n').length;
  const numbers = Array.from({ length: lines }, (_, line) => line + 1).join('\n');
  return [
    h('pre.gutter', { 'aria-hidden': 'true' }, numbers),
    h('pre.code', {}, h('code', {}, ...highlight(path, text))),
  ];
}

function facts(source) {
  const { runs, enabled } = source.optimisation;
  const items = [
    ['compiler', source.compiler],
    ['licence', source.license ?? 'not stated'],
    ['optimiser', enabled ? `on${runs === null ? '' : `, ${runs} runs`}` : 'off'],
    ['from', source.source === 'etherscan' ? 'Etherscan' : 'Sourcify'],
  ];
  if (source.isProxy) items.push(['proxy for', describeImplementation(source.implementation)]);
  return h(
    'div',
    {},
    h('h3.source-name', { tabindex: '-1' }, source.name || 'Contract'),
    h('p.address', {}, source.address),
    h(
      'dl.facts',
      {},
      items.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))),
    ),
  );
}

function describeImplementation(implementation) {
  if (implementation === null) return 'unknown';
  const { address, contract, reason } = implementation;
  return `${address}${contract === null ? ` (no source: ${reason})` : ` (${contract.name})`}`;
}

function zipButton(source) {
  const control = button(
    'Download zip',
    'down',
    async () => {
      control.disabled = true;
      try {
        const path = `/v1/contracts/${source.chainId}/${source.address}/source`;
        saveBlob(
          await callBlob(path, { Accept: 'application/zip' }),
          `${source.chainId}-${source.address}.zip`,
        );
        announce('The zip is downloaded');
      } catch (error) {
        byId('contract-state').replaceChildren(problemView(error));
      } finally {
        control.disabled = false;
      }
    },
    false,
    'primary',
  );
  return control;
}
