import { UpstreamError } from './errors.js';

/** A path below the API root in which every value is one encoded segment. Only `path` makes it. */
export class ApiPath {
  constructor(readonly text: string) {}

  withQuery(query: Record<string, string>): ApiPath {
    return new ApiPath(`${this.text}?${new URLSearchParams(query).toString()}`);
  }
}

/**
 * Builds an API path: path`/flow_runs/${id}/graph`. Each value becomes one segment, whatever it holds.
 * @throws UpstreamError 404 for `.`, `..` and the empty text, which servers would resolve to another resource
 */
export function path(literals: TemplateStringsArray, ...values: string[]): ApiPath {
  let text = literals[0] ?? '';
  values.forEach((value, index) => {
    if (value === '' || value === '.' || value === '..')
      throw new UpstreamError('status', { status: 404, sent: false });
    text += encodeURIComponent(value.toWellFormed()) + (literals[index + 1] ?? '');
  });
  return new ApiPath(text);
}
