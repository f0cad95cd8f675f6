import { UpstreamError } from './errors.js';

/** A path below the API root in which every value is one encoded segment. Only `path` makes it. */
export class ApiPath {
  /** @param template the text with `{}` in place of each value: tells calls apart by kind, and holds no name or id */
  constructor(
    readonly text: string,
    readonly template: string,
  ) {}

  withQuery(query: Record<string, string>): ApiPath {
    return new ApiPath(`${this.text}?${new URLSearchParams(query).toString()}`, this.template);
  }
}

/**
 * Values that a server resolves to another resource, or to none: `.`, `..`, nothing, and what has a slash in it. With
 * U+0000 in it, it is no name in PostgreSQL: Prefect answers 503.
 */
const UNREACHABLE = /^\.{0,2}$|[/\0]/;

/**
 * Builds an API path: path`/flow_runs/${id}/graph`. Each value becomes one segment, whatever it holds.
 * @throws UpstreamError 404 for a value that cannot be a segment
 */
export function path(literals: TemplateStringsArray, ...values: string[]): ApiPath {
  let text = literals[0] ?? '';
  values.forEach((value, index) => {
    if (UNREACHABLE.test(value)) throw new UpstreamError('status', { status: 404, sent: false });
    text += encodeURIComponent(value.toWellFormed()) + (literals[index + 1] ?? '');
  });
  return new ApiPath(text, literals.join('{}'));
}
