/** A file as a provider gave it: the path is whatever the contract's author wrote. */
export interface SourceFile {
  path: string;
  content: string;
}

const MAX_PART_BYTES = 200;
const MAX_ENTRY_BYTES = 1_000;
const RESERVED = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\.|$)/i;

/** What Windows forbids in names, control and format characters, and lone surrogates. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are what it removes
const FORBIDDEN = /[\u0000-\u001f<>:"|?*\u007f-\u009f\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** The result's manifest would hide them, and extracting programs treat them as their own. */
const MANIFEST_NAME = 'manifest.json';

/**
 * A name that every zip program extracts inside its folder, on every system: relative, `/` between parts, no `.` or
 * `..` part, no drive, no forbidden character, no reserved Windows name, no trailing dot or blank, parts of at most 200
 * bytes and 1,000 bytes in all. Different paths may give the same name: {@link planEntries} tells them apart.
 */
export function safeEntryName(path: string): string {
  const parts = path
    .normalize('NFC')
    .split(/[/\\]/)
    .map(safePart)
    .filter((part) => part !== '');
  while (parts.length > 1 && Buffer.byteLength(parts.join('/')) > MAX_ENTRY_BYTES) parts.shift();
  return parts.length === 0 ? 'unnamed' : parts.join('/');
}

function safePart(part: string): string {
  const clean = trimEnd(part.replace(FORBIDDEN, '_'));
  if (/^[. ]*$/.test(clean)) return '';
  return truncate(RESERVED.test(clean) ? `_${clean}` : clean, MAX_PART_BYTES);
}

/** Windows drops them, so that two names would become one. */
function trimEnd(part: string): string {
  return part.replace(/[. ]+$/, '').trimStart();
}

/** Keeps the extension, since the reader needs it more than the middle of the name. */
function truncate(part: string, maxBytes: number): string {
  if (Buffer.byteLength(part) <= maxBytes) return part;
  const extension = /\.[A-Za-z0-9]{1,10}$/.exec(part)?.[0] ?? '';
  const stem = Array.from(part.slice(0, part.length - extension.length));
  let bytes = extension.length;
  let kept = '';
  for (const character of stem) {
    bytes += Buffer.byteLength(character);
    if (bytes > maxBytes) break;
    kept += character;
  }
  return `${trimEnd(kept)}${extension}`;
}

/**
 * A distinct, safe zip entry for each path, in order. A name that is taken, also in another case or as the folder of
 * another file, gets a suffix (`Token~2.sol`): no file hides another.
 */
export function planEntries(paths: readonly string[]): string[] {
  const files = new Set([fold(MANIFEST_NAME)]);
  const folders = new Set<string>();
  /** Where to go on counting: thousands of equal names would take quadratic time otherwise. */
  const counts = new Map<string, number>();
  return paths.map((path) => {
    const wanted = safeEntryName(path);
    let entry = wanted;
    for (let count = counts.get(fold(wanted)) ?? 2; isTaken(entry, files, folders); count += 1) {
      entry = withSuffix(wanted, count, files);
      counts.set(fold(wanted), count + 1);
    }
    files.add(fold(entry));
    for (const folder of foldersOf(entry)) folders.add(folder);
    return entry;
  });
}

function isTaken(entry: string, files: Set<string>, folders: Set<string>): boolean {
  const folded = fold(entry);
  return files.has(folded) || folders.has(folded) || foldersOf(entry).some((folder) => files.has(folder));
}

function foldersOf(entry: string): string[] {
  const parts = fold(entry).split('/');
  return parts.slice(1).map((_, at) => parts.slice(0, at + 1).join('/'));
}

/** Upper case first: it folds what lower case alone does not, such as the sharp s. */
function fold(name: string): string {
  return name.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC');
}

/** Marks the part that is in the way: a folder that another file has as its name, else the file's own name. */
function withSuffix(entry: string, count: number, files: Set<string>): string {
  const parts = entry.split('/');
  const blocked = foldersOf(entry).findIndex((folder) => files.has(folder));
  const at = blocked === -1 ? parts.length - 1 : blocked;
  const part = parts[at] ?? '';
  const dot = part.lastIndexOf('.');
  const extension = dot <= 0 ? '' : part.slice(dot);
  const suffix = `~${count}${extension}`;
  const stem = part.slice(0, part.length - extension.length);
  parts[at] = `${truncate(stem, Math.max(1, MAX_PART_BYTES - Buffer.byteLength(suffix)))}${suffix}`;
  return parts.join('/');
}

/** Text of strangers that JSON columns and terminals can hold: NUL and lone surrogates replaced. */
export function storableText(text: string): string {
  return text.replaceAll('\0', '\ufffd').toWellFormed();
}

/** Whether a file's text survives as it is inside a JSON result of the ledger. */
export function isStorableText(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}
