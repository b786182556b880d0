/** Statuses in words, with the icon and colour that say the same. */
export const STATUS = {
  CREATED: { word: 'Waiting', tone: 'waiting', icon: 'clock' },
  PROCESS: { word: 'Running', tone: 'running', icon: 'turn' },
  SUCCESS: { word: 'Done', tone: 'done', icon: 'check' },
  ERROR: { word: 'Failed', tone: 'failed', icon: 'cross' },
  CANCELLED: { word: 'Cancelled', tone: 'cancelled', icon: 'stop' },
};

export function isFinal(job) {
  return job.finishedAt !== null;
}

/** The word for what a job is doing now, finer than its status. */
export function statusWord(job) {
  if (isFinal(job)) return STATUS[job.status].word;
  if (job.cancelRequested) return 'Stopping';
  if (job.suspended) return 'Suspended';
  if (job.runAt !== null && job.failures > 0) return 'Trying again soon';
  return STATUS[job.status].word;
}

/** 1 kB is 1,000 bytes, as download dialogs have it. */
export function formatBytes(bytes) {
  if (bytes < 1_000) return `${bytes} B`;
  if (bytes < 999_500) return `${Math.round(bytes / 1_000)} kB`;
  return `${(bytes / 1_000_000).toFixed(bytes < 9_950_000 ? 1 : 0)} MB`;
}

export function formatDuration(ms) {
  // Clocks of two machines differ: a negative time would only puzzle.
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 1) return `${Math.round(seconds * 1_000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3_600)} h ${Math.round((seconds % 3_600) / 60)} min`;
}

export function formatAge(iso, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1_000);
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** How long the job's last attempt ran, or has run so far; a dash for one that never started. */
export function durationOf(job, now = Date.now()) {
  if (job.startedAt === null) return '–';
  const end = job.finishedAt === null ? now : Date.parse(job.finishedAt);
  return formatDuration(end - Date.parse(job.startedAt));
}

export function shortAddress(address) {
  return `${address.slice(0, 8)}…${address.slice(-6)}`;
}

/** Formats as people write them. */
export const FORMAT_NAMES = {
  webp: 'WebP',
  avif: 'AVIF',
  jpeg: 'JPEG',
  png: 'PNG',
  gif: 'GIF',
  tiff: 'TIFF',
};
