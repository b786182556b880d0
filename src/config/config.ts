import type { z } from 'zod';
import { groups } from './groups.ts';
import { closest } from './spelling.ts';
import { type VariableFacts, variables } from './variable.ts';

type Groups = typeof groups;

/** All settings of a process, frozen. Text that is not set is empty. */
export type Config = { readonly [Name in keyof Groups]: Readonly<z.output<Groups[Name]>> };

/** Every mistake of the environment at once, one a line. */
export class ConfigError extends Error {
  override name = 'ConfigError';
  readonly code = 'InvalidConfiguration';
  readonly mistakes: readonly string[];

  constructor(mistakes: readonly string[]) {
    super(
      `The configuration has ${mistakes.length} mistake(s):\n${mistakes.map((line) => `  - ${line}`).join('\n')}`,
    );
    this.mistakes = mistakes;
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** A field of a group with what is known about it. */
export interface Variable {
  group: keyof Groups;
  field: string;
  facts: VariableFacts;
}

/** Every variable, in the order of the reference. */
export function listVariables(): Variable[] {
  return Object.entries(groups).flatMap(([group, schema]) =>
    Object.entries(schema.shape).map(([field, fieldSchema]) => {
      const facts = variables.get(fieldSchema as z.ZodType);
      if (facts === undefined) throw new TypeError(`${group}.${field} was not declared as a variable`);
      return { group: group as keyof Groups, field, facts };
    }),
  );
}

/** Set by Kubernetes for Services whose name starts with `longshore`, for tests, demo and builds: not ours to judge. */
const FOREIGN =
  /^LONGSHORE_(TEST_|DEMO_|(CACHE|CHROMIUM|KUBE_SOURCE)$|.*(_SERVICE_(HOST|PORT)(_.*)?|_PORT_\d+_(TCP|UDP)(_.*)?)$)/;
/** The value of the `<SERVICE>_PORT` variable that Kubernetes sets for a Service, such as `longshore-api`. */
const SERVICE_LINK = /^(tcp|udp):\/\//;

/**
 * Reads the environment once. An empty variable counts as not set.
 *
 * @param required - Variables that this process cannot do without.
 * @throws ConfigError listing every mistake: bad values, missing variables, unknown ones that start with LONGSHORE_.
 */
export function loadConfig(env: Environment, required: readonly string[] = []): Config {
  const all = listVariables();
  const mistakes: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(groups)) {
    const mine = all.filter((variable) => variable.group === name);
    const raw = Object.fromEntries(
      mine.map(({ field, facts }) => [field, read(env, facts) ?? facts.default ?? '']),
    );
    const parsed = schema.safeParse(raw);
    if (parsed.success) config[name] = Object.freeze(parsed.data);
    else mistakes.push(...invalid(mine, raw, parsed.error));
  }
  mistakes.push(...missing(env, all, required), ...unknown(env, all));
  if (mistakes.length === 0) mistakes.push(...contradictions(config as Config));
  if (mistakes.length > 0) throw new ConfigError(mistakes);
  return Object.freeze(config) as Config;
}

function read(env: Environment, facts: VariableFacts): string | undefined {
  for (const name of [facts.env, ...(facts.aliases ?? [])]) {
    const value = env[name]?.trim();
    if (value !== undefined && value !== '' && !SERVICE_LINK.test(value)) return value;
  }
  return undefined;
}

function invalid(mine: Variable[], raw: Record<string, string>, error: z.ZodError): string[] {
  const fields = new Set(error.issues.map((issue) => String(issue.path[0])));
  return mine
    .filter(({ field }) => fields.has(field))
    .map(({ field, facts }) => {
      const shown = facts.secret ? 'the value (not shown: it is secret)' : JSON.stringify(raw[field]);
      return `${facts.env}: ${shown} is not allowed; allowed: ${facts.allowed}`;
    });
}

function missing(env: Environment, all: Variable[], required: readonly string[]): string[] {
  return all
    .filter(
      ({ facts }) =>
        required.includes(facts.env) && read(env, facts) === undefined && facts.default === undefined,
    )
    .map(({ facts }) => `${facts.env}: is not set; needed: ${facts.allowed} (${facts.description})`);
}

function unknown(env: Environment, all: Variable[]): string[] {
  const known = all.map(({ facts }) => facts.env);
  return Object.keys(env)
    .filter((name) => name.startsWith('LONGSHORE_') && !known.includes(name) && !FOREIGN.test(name))
    .filter((name) => !SERVICE_LINK.test(env[name] ?? ''))
    .toSorted()
    .map((name) => {
      const guess = closest(name, known);
      return `${name}: there is no such variable${guess === undefined ? '' : `; did you mean ${guess}?`}`;
    });
}

/** Values that are fine alone and wrong together. */
function contradictions({ worker, controller, scaler, bot }: Config): string[] {
  const mistakes: string[] = [];
  if ((scaler.tlsCertFile === '') !== (scaler.tlsKeyFile === '')) {
    mistakes.push(
      'LONGSHORE_SCALER_TLS_CERT_FILE: is not allowed without LONGSHORE_SCALER_TLS_KEY_FILE, nor that without it; allowed: both or neither',
    );
  }
  if (scaler.tlsCaFile !== '' && scaler.tlsCertFile === '') {
    mistakes.push('LONGSHORE_SCALER_TLS_CA_FILE: is not allowed without LONGSHORE_SCALER_TLS_CERT_FILE');
  }
  if (bot.webhookUrl !== '' && bot.webhookSecret === '') {
    mistakes.push('LONGSHORE_BOT_WEBHOOK_URL: is not allowed without LONGSHORE_BOT_WEBHOOK_SECRET');
  }
  if (worker.renewSeconds * 2 > worker.leaseSeconds) {
    mistakes.push(
      `LONGSHORE_RENEW_SECONDS: ${worker.renewSeconds} is not allowed; allowed: at most a half of LONGSHORE_LEASE_SECONDS (${worker.leaseSeconds})`,
    );
  }
  const {
    electionLeaseSeconds: lease,
    electionRenewSeconds: renew,
    electionRetrySeconds: retry,
  } = controller;
  if (!(retry < renew && renew < lease)) {
    mistakes.push(
      `LONGSHORE_ELECTION_RENEW_SECONDS: ${renew} is not allowed; allowed: more than LONGSHORE_ELECTION_RETRY_SECONDS (${retry}) and less than LONGSHORE_ELECTION_LEASE_SECONDS (${lease})`,
    );
  }
  return mistakes;
}
