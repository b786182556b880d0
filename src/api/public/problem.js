import { h, icon } from './dom.js';

/** What went wrong in a call, as the server's problem document (RFC 9457) tells it, or in our words when there is none. */
export class ApiProblem extends Error {
  constructor({ code, title, detail = '', status = 0, errors = [], retryAfterSeconds = null }) {
    super(detail || title);
    Object.assign(this, { code, title, detail, status, errors, retryAfterSeconds });
  }
}

/** The server did not answer at all. */
export function unreachable() {
  return new ApiProblem({
    code: 'Unreachable',
    title: 'Longshore cannot be reached',
    detail: 'The server did not answer.',
  });
}

/** Reads the problem document of an answer, whatever it turns out to be. */
export function toProblem(status, text, retryAfter) {
  const retryAfterSeconds = /^\d+$/.test(retryAfter ?? '') ? Number(retryAfter) : null;
  try {
    const { code, title, detail, errors } = JSON.parse(text);
    if (typeof title === 'string')
      return new ApiProblem({ code, title, detail, status, errors, retryAfterSeconds });
  } catch {
    // A proxy's page, or half an answer.
  }
  return new ApiProblem({
    code: 'Unknown',
    title: `The server answered ${status}`,
    detail: 'Its answer did not say why; something between this page and Longshore may have given it.',
    status,
    retryAfterSeconds,
  });
}

/** What to do next, by the code of a problem or of a job's error. */
const NEXT = {
  Unreachable:
    'Check your connection, and that Longshore runs. This page keeps trying; what was accepted is safe.',
  Unauthenticated: 'Enter an API key. One is made by: longshore api-key create',
  Forbidden: 'Ask whoever made your key for one with this scope.',
  InvalidInput: 'Correct what is marked and send it again.',
  PayloadTooLarge: 'Make the file smaller, or ask your operator for a larger limit.',
  JobFinished: 'Nothing to do: it had ended before your click arrived.',
  ResultGone: 'Submit the job again to have a fresh result.',
  Unavailable: 'Nothing is lost. Try again in a moment.',
  OutcomeUnknown: 'Try again: the same request is never carried out twice.',
  Internal: 'Try again; if it stays, tell your operator when it happened.',
  ContractNotVerified:
    'Its author has not published the source. Check the chain, or look for the proxy that it belongs to.',
  NotAnImage: 'Choose a picture: JPEG, PNG, WebP, AVIF, GIF or TIFF.',
  ImageDamaged: 'Open and save the picture again, then upload that copy.',
  ImageTypeMismatch: 'Open and save the picture again, then upload that copy.',
  TooManyPixels: 'Make the picture smaller first.',
  OutputTooLarge: 'Choose a smaller width.',
  NoProvider: 'Ask your operator to set ETHERSCAN_API_KEY, or try again later.',
  UpstreamUnavailable: 'The provider has trouble. Retry in a few minutes.',
  UpstreamUnreachable: 'The provider has trouble. Retry in a few minutes.',
};

export function nextStep(problem) {
  if (problem.code === 'TooManyRequests')
    return `Wait ${problem.retryAfterSeconds ?? 'a few'} seconds, then try again.`;
  return NEXT[problem.code] ?? null;
}

/** The problem as a person reads it: what, why, where, and what now. `action` is an optional button. */
export function problemView(problem, action = null) {
  const known =
    problem instanceof ApiProblem
      ? problem
      : new ApiProblem({
          code: 'Page',
          title: 'Something went wrong on this page',
          detail: String(problem?.message ?? problem),
        });
  const next = nextStep(known);
  // One mistake is told by the detail already.
  const mistakes = known.errors.length > 1 ? known.errors : [];
  return h(
    'div.problem',
    { role: 'alert' },
    icon('cross'),
    h(
      'div.problem-body',
      {},
      h('p.problem-title', {}, known.title),
      known.detail ? h('p', {}, known.detail) : null,
      mistakes.length > 0
        ? h(
            'ul',
            {},
            mistakes.map(({ pointer, detail }) => h('li', {}, h('code', {}, pointer), ` ${detail}`)),
          )
        : null,
      next === null ? null : h('p.problem-next', {}, next),
      action,
    ),
  );
}
