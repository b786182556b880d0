import { configureApi } from './api.js';
import { startContractPanel } from './contract-panel.js';
import { byId } from './dom.js';
import { startImagePanel } from './image-panel.js';
import { onJob } from './jobs.js';
import { JobsTable } from './jobs-table.js';
import { askForKey, startKeyDialog } from './key-dialog.js';

const table = new JobsTable();
startKeyDialog(() => void table.refresh());
configureApi({
  askForKey,
  onReachable(reachable) {
    const state = reachable ? 'up' : 'down';
    const sign = byId('connection');
    if (sign.dataset.state === state) return;
    sign.dataset.state = state;
    byId('connection-text').textContent = reachable ? 'Connected' : 'No connection, trying again';
  },
});
startImagePanel();
startContractPanel();
table.start();

// A job that the table does not show yet: asked for soon, and once for all that begin together.
const seen = new Set();
let soon;
onJob((job) => {
  if (seen.has(job.id)) return;
  seen.add(job.id);
  clearTimeout(soon);
  soon = setTimeout(() => {
    if (document.querySelector(`tr[data-job="${job.id}"]`) === null) void table.refresh();
  }, 100);
});
