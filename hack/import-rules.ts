import { posix } from 'node:path';

export interface SourceFile {
  /** From the project's root, with slashes. */
  path: string;
  text: string;
}

export interface Violation {
  path: string;
  line: number;
  imported: string;
  rule: string;
}

/** Processes: below each other they would soon be one program. `cli` alone starts them all. */
const PROCESSES = ['api', 'controller', 'worker', 'bot'];
/** Each wraps one outside thing; what they share is in `core`. */
const ADAPTERS = ['kube', 'queue', 'ledger', 'telemetry', 'lifecycle', 'scaler'];

/** Folders of src/ that files of a folder may import beside their own. */
const ALLOWED_FOLDERS: Record<string, readonly string[]> = {
  core: [],
  config: ['core'],
  types: ['core'],
  ...Object.fromEntries(ADAPTERS.map((folder) => [folder, ['core']])),
  ...Object.fromEntries(PROCESSES.map((folder) => [folder, ['core', 'config', 'types', ...ADAPTERS]])),
  cli: ['core', 'config', 'types', ...ADAPTERS, ...PROCESSES],
};

/** Packages that belong to some files only. */
const PACKAGE_HOMES: Record<string, RegExp> = {
  '@kubernetes/client-node': /^src\/kube\//,
  bullmq: /^src\/(queue|worker)\//,
  ioredis: /^src\/(queue|worker)\//,
  pg: /^src\/ledger\//,
  'node-pg-migrate': /^src\/ledger\//,
  express: /^src\/api\//,
  'csv-parse': /^src\/api\//,
  'csv-stringify': /^src\/(api|cli)\//,
  sharp: /^src\/types\/[^/]+\/run\.ts$/,
  grammy: /^src\/bot\//,
  commander: /^src\/cli\//,
  '@grpc/grpc-js': /^src\/scaler\//,
  '@grpc/proto-loader': /^src\/scaler\//,
};

/** The only packages of folders that stay free of everything else. */
const ALLOWED_PACKAGES: readonly { files: RegExp; packages: readonly string[] }[] = [
  { files: /^src\/core\//, packages: ['zod', 'croner', 'ipaddr.js', 'decimal.js'] },
  { files: /^src\/types\/contract-source\//, packages: ['zod', '@noble/hashes'] },
  { files: /^src\/types\/[^/]+\/run\.ts$/, packages: ['zod', 'sharp'] },
  { files: /^src\/types\/user-schema\.ts$/, packages: ['zod', 'ajv'] },
  { files: /^src\/types\//, packages: ['zod'] },
];

const INPUT_AND_OUTPUT =
  /^node:(fs|net|tls|http|https|http2|dgram|dns|child_process|cluster|worker_threads)(\/|$)/;
/** Files that read the configuration; everything below gets it as an argument. */
const READS_CONFIG = /^src\/(config\/|cli\/|[^/]+\/(main|public)\.ts$)/;

type Rule = (from: string, imported: string) => string | undefined;

const FILE_RULES: readonly Rule[] = [
  function folders(from, imported) {
    const [home, target] = [folderOf(from), folderOf(imported)];
    if (home === undefined || target === undefined || home === target) return undefined;
    const allowed = ALLOWED_FOLDERS[home];
    if (allowed === undefined) return `src/${home} has no rule yet; add it to hack/import-rules.ts`;
    if (allowed.includes(target)) return undefined;
    return `${home} may import ${allowed.length === 0 ? 'no other folder' : allowed.join(', ')}`;
  },
  function configuration(from, imported) {
    if (folderOf(imported) !== 'config' || READS_CONFIG.test(from)) return undefined;
    return 'the configuration is read by main.ts, public.ts and cli, and passed on as arguments';
  },
  function typeDeclarations(from, imported) {
    if (!/\/type\.ts$/.test(from) || !/\/run\.ts$/.test(imported)) return undefined;
    return 'a type is declared without its handler, because API and controller import the declaration';
  },
  function packageHomes(from, imported) {
    const home = PACKAGE_HOMES[imported];
    return home === undefined || home.test(from) ? undefined : `${imported} belongs in ${home.source}`;
  },
  function allowedPackages(from, imported) {
    if (imported.startsWith('src/') || imported.startsWith('node:')) return undefined;
    const rule = ALLOWED_PACKAGES.find(({ files }) => files.test(from));
    if (rule === undefined || rule.packages.includes(imported)) return undefined;
    return `of packages only ${rule.packages.join(', ')} may be imported here`;
  },
  function pureCore(from, imported) {
    return /^src\/core\//.test(from) && INPUT_AND_OUTPUT.test(imported)
      ? 'core does no input or output'
      : undefined;
  },
];

/** What no file of these folders may reach, over however many imports: it would load decoders into every API process. */
const UNREACHABLE: readonly { folders: readonly string[]; target: RegExp; rule: string }[] = [
  {
    folders: ['api', 'controller', 'bot'],
    target: /^src\/types\/[^/]+\/run\.ts$/,
    rule: 'only workers load handlers',
  },
];

/** Every import in `files` that the dependency rule forbids. Tests beside the sources may use any package. */
export function findViolations(files: readonly SourceFile[]): Violation[] {
  const sources = files.filter(({ path }) => !path.endsWith('.test.ts'));
  const imports = sources.flatMap(importsOf);
  const direct = imports.flatMap((found) =>
    FILE_RULES.flatMap((check) => {
      const rule = check(found.path, found.imported);
      return rule === undefined ? [] : [{ ...found, rule }];
    }),
  );
  return [...direct, ...findReached(imports)];
}

interface Import {
  path: string;
  line: number;
  /** A path from the root for a relative import, else the name of the package or the `node:` module. */
  imported: string;
  typeOnly: boolean;
}

/** The formatter guarantees these shapes: single quotes, and a statement at the start of its line. */
const IMPORT =
  /^(?:import|export)\s+(type\s)?[^'";]*?\bfrom\s+'([^']+)'|^import\s+'([^']+)'|\bimport\(\s*'([^']+)'/gm;

function importsOf({ path, text }: SourceFile): Import[] {
  return [...text.matchAll(IMPORT)].map((match) => {
    const specifier = match[2] ?? match[3] ?? match[4] ?? '';
    const imported = specifier.startsWith('.')
      ? posix.join(posix.dirname(path), specifier)
      : packageOf(specifier);
    const line = text.slice(0, match.index).split('\n').length;
    return { path, line, imported, typeOnly: match[1] !== undefined };
  });
}

function packageOf(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

function folderOf(path: string): string | undefined {
  return /^src\/([^/]+)\//.exec(path)?.[1];
}

function findReached(imports: readonly Import[]): Violation[] {
  const byPath = Map.groupBy(
    imports.filter(({ typeOnly }) => !typeOnly),
    ({ path }) => path,
  );
  return UNREACHABLE.flatMap(({ folders, target, rule }) => {
    const found: Violation[] = [];
    const seen = new Set<string>();
    const queue = [...byPath.keys()].filter((path) => folders.includes(folderOf(path) ?? ''));
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      if (seen.has(path)) continue;
      seen.add(path);
      for (const step of byPath.get(path) ?? []) {
        if (target.test(step.imported)) {
          found.push({ ...step, rule: `${rule}, and ${folders.join(' or ')} reaches it this way` });
        } else queue.push(step.imported);
      }
    }
    return found;
  });
}
