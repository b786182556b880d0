import { type Response, Router } from 'express';
import { nextFire, parseEvery, refuseCron, type ScheduleTiming } from '../../core/schedule.ts';
import {
  deleteSchedule,
  getSchedule,
  listSchedules,
  putSchedule,
  type Schedule,
} from '../../ledger/schedules.ts';
import { invalidCursor } from '../cursor.ts';
import { withDeadline } from '../deadline.ts';
import { type ApiDeps, principalOf } from '../deps.ts';
import { iso } from '../iso.ts';
import { requireScope } from '../middleware/authenticate.ts';
import { invalidInput, Problem } from '../problem.ts';
import { readJson } from '../read-body.ts';
import { sendJson } from '../respond.ts';
import {
  DEFAULT_PAGE_LIMIT,
  type ScheduleSpec,
  scheduleListQuery,
  scheduleName,
  scheduleRequest,
} from '../schemas.ts';
import { toNewJob } from '../submission.ts';
import { parseQuery, parseWith } from '../validation.ts';
import { submissionContext } from './jobs.ts';

/** Schedules: what fires them is the controller. */
export function scheduleRoutes(deps: ApiDeps): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const timeoutMs = deps.limits.requestTimeoutMs;
  router.get('/v1/schedules', requireScope('read'), async (req, res) => {
    const { limit = DEFAULT_PAGE_LIMIT, cursor } = parseQuery(scheduleListQuery, req.url);
    const afterName = cursor === undefined ? null : decodeName(cursor);
    const { namespace } = principalOf(res);
    const found = await withDeadline(
      listSchedules(deps.db, namespace, { limit: limit + 1, afterName }),
      timeoutMs,
    );
    const schedules = found.slice(0, limit);
    const last = found.length > limit ? schedules.at(-1) : undefined;
    sendJson(res, 200, {
      schedules: schedules.map(viewSchedule),
      nextCursor: last === undefined ? null : Buffer.from(`s.${last.name}`).toString('base64url'),
    });
  });
  router.get('/v1/schedules/:name', requireScope('read'), async (req, res) => {
    const found = await withDeadline(
      getSchedule(deps.db, principalOf(res).namespace, req.params.name as string),
      timeoutMs,
    );
    if (found === null) throw scheduleNotFound();
    sendJson(res, 200, viewSchedule(found));
  });
  router.put('/v1/schedules/:name', requireScope('submit'), async (req, res) => {
    const name = scheduleName.safeParse(req.params.name);
    if (!name.success) {
      throw invalidInput({
        pointer: 'name',
        detail: 'must be lower-case letters, digits and "-", at most 63',
      });
    }
    const body = await readJson(req, {
      maxBytes: deps.limits.jsonBytes,
      timeoutMs: deps.limits.bodyTimeoutMs,
    });
    const spec = parseWith(scheduleRequest, body);
    // The template is judged as a job of now would be: a schedule that can only fail is refused when it is written.
    await toNewJob(spec.job, submissionContext(deps, req, res), { base: '/job' });
    await put(deps, res, name.data, spec);
  });
  router.delete('/v1/schedules/:name', requireScope('submit'), async (req, res) => {
    const outcome = await withDeadline(
      deleteSchedule(deps.db, principalOf(res).namespace, req.params.name as string, null),
      timeoutMs,
    );
    if (outcome === 'missing') throw scheduleNotFound();
    if (outcome === 'owned') throw scheduleOwned();
    res.status(204).end();
  });
  return router;
}

async function put(deps: ApiDeps, res: Response, name: string, spec: ScheduleSpec): Promise<void> {
  const timing = toTiming(spec);
  const nextFireAtMs = spec.suspend ? null : nextFire(timing, deps.clock.now());
  const { namespace } = principalOf(res);
  const answer = await withDeadline(
    putSchedule(deps.db, { namespace, name, spec, resourceUid: null, nextFireAtMs }),
    deps.limits.requestTimeoutMs,
  );
  if (answer.outcome === 'owned') throw scheduleOwned();
  res.setHeader('Location', `/v1/schedules/${name}`);
  sendJson(res, answer.outcome === 'created' ? 201 : 200, viewSchedule(answer.schedule));
}

/** When a schedule of REST fires; throws a problem for a cron expression or time zone that cannot be used. */
export function toTiming(spec: Pick<ScheduleSpec, 'cron' | 'timeZone' | 'every'>): ScheduleTiming {
  if (spec.every !== undefined) return { everySeconds: parseEvery(spec.every) ?? 60 };
  const timing = { cron: spec.cron ?? '', timeZone: spec.timeZone ?? 'UTC' };
  const refusal = refuseCron(timing.cron, timing.timeZone);
  if (refusal !== null) throw invalidInput({ pointer: `/${refusal.field}`, detail: refusal.detail });
  return timing;
}

function decodeName(cursor: string): string {
  const [mark, name, ...rest] = Buffer.from(cursor, 'base64url').toString('latin1').split('.');
  if (mark === 's' && rest.length === 0 && scheduleName.safeParse(name).success) return name as string;
  throw invalidCursor();
}

function viewSchedule(schedule: Schedule): Record<string, unknown> {
  return {
    name: schedule.name,
    ...(schedule.spec as object),
    owner: schedule.keptBy !== null ? 'type' : schedule.resourceUid === null ? 'rest' : 'resource',
    nextFireAt: iso(schedule.nextFireAtMs),
    lastFireAt: iso(schedule.lastFireAtMs),
    lastJobId: schedule.lastJobId,
    version: schedule.version,
    createdAt: iso(schedule.createdAtMs),
    updatedAt: iso(schedule.updatedAtMs),
  };
}

function scheduleNotFound(): Problem {
  return new Problem('NotFound', 'There is no such schedule');
}

function scheduleOwned(): Problem {
  return new Problem('ScheduleOwned', 'A JobSchedule resource or a job type owns this schedule: change that');
}
