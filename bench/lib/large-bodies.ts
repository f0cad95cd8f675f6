const UNKNOWN = '00000000-0000-4000-8000-000000000000';

export interface LargeBody {
  what: string;
  method: 'POST' | 'PUT';
  path: string;
  contentType?: string;
  text: (bytes: number) => string;
}

/** A list of equal items, as JSON. */
const list = (item: string, bytes: number) =>
  `[${`${item},`.repeat(Math.floor(bytes / (item.length + 1)))}${item}]`;
const START = `/proxy/deployments/${UNKNOWN}/flow_run`;
const DBT = '/proxy/v1/flows/dbtcore/run/';

function manyKeys(prefix: string, bytes: number): string {
  const fields = [];
  for (let size = 0, n = 0; size < bytes; n += 1) {
    const field = `"${prefix}${n}":1`;
    fields.push(field);
    size += field.length + 1;
  }
  return `{${fields.join(',')}}`;
}

/** Bodies that no route accepts, each of another kind of trouble: many problems, many values, depth, size of one value. */
export const WRONG_BODIES: LargeBody[] = [
  {
    what: 'ids that are none',
    method: 'POST',
    path: '/proxy/v1/flow_runs/poll',
    text: (n) => `{"ids":${list('"x"', n)}}`,
  },
  {
    what: 'too many ids',
    method: 'POST',
    path: '/proxy/v1/flow_runs/poll',
    text: (n) => `{"ids":${list(`"${UNKNOWN}"`, n)}}`,
  },
  {
    what: 'numbers instead of ids',
    method: 'POST',
    path: '/proxy/deployments/filter',
    text: (n) => `{"org_slug":"a","deployment_ids":${list('1', n)}}`,
  },
  { what: 'an unknown list', method: 'POST', path: DBT, text: (n) => `{"x":${list('1', n)}}` },
  { what: 'a list as the whole body', method: 'POST', path: DBT, text: (n) => list('1', n) },
  {
    what: 'lists in lists',
    method: 'POST',
    path: DBT,
    text: (n) => list('['.repeat(190) + ']'.repeat(190), n),
  },
  { what: 'objects in a list', method: 'POST', path: START, text: (n) => list('{"a":1}', n) },
  { what: 'commands', method: 'POST', path: DBT, text: (n) => `{"commands":${list('"dbt run"', n)}}` },
  {
    what: 'one long text',
    method: 'POST',
    path: '/proxy/flow_run/',
    text: (n) => `{"name":"${'x'.repeat(n)}"}`,
  },
  {
    what: 'one long key',
    method: 'POST',
    path: '/proxy/flow_run/',
    text: (n) => `{"${'x'.repeat(n)}":"\\u0000"}`,
  },
  { what: 'many keys', method: 'POST', path: '/proxy/flow_run/', text: (n) => manyKeys('k', n) },
  {
    what: 'a field of many keys',
    method: 'POST',
    path: '/proxy/flow_run/',
    text: (n) => `{"name":${manyKeys('key-of-some-length-', n)}}`,
  },
  {
    what: 'escapes',
    method: 'POST',
    path: '/proxy/flow_run/',
    text: (n) => `{"name":${list('"\\n\\u00e9"', n)}}`,
  },
  {
    what: 'half of a pair at the end',
    method: 'POST',
    path: START,
    text: (n) => `{"a":${list('"x"', n)},"b":"\\ud83d"}`,
  },
  { what: 'numbers beyond 64 bits', method: 'POST', path: START, text: (n) => `{"a":${list('1e99', n)}}` },
  { what: 'a number without an end', method: 'POST', path: START, text: (n) => `{"a":${'1'.repeat(n)}}` },
  {
    what: 'nesting',
    method: 'POST',
    path: START,
    text: (n) => `{"a":${'['.repeat(n / 2)}${']'.repeat(n / 2)}}`,
  },
  { what: 'nesting without an end', method: 'POST', path: START, text: (n) => '{"a":'.repeat(n / 5) },
  { what: 'JSON that is cut', method: 'POST', path: START, text: (n) => `{"a":${list('1.0', n)}` },
  {
    what: 'a port of many digits',
    method: 'POST',
    path: '/proxy/blocks/airbyte/server/',
    text: (n) => `{"serverPort":"${'1'.repeat(n)}"}`,
  },
  {
    what: 'a time of many digits',
    method: 'POST',
    path: '/proxy/flow_runs/late',
    text: (n) => `{"before_start_time":"2026-01-01T00:00:00.${'1'.repeat(n)}x"}`,
  },
  {
    what: 'minutes of many digits',
    method: 'POST',
    path: `/proxy/flow_runs/${UNKNOWN}/retry`,
    text: (n) => `{"minutes":"${'1_'.repeat(n / 2)}"}`,
  },
  { what: 'text', method: 'POST', path: DBT, contentType: 'text/plain', text: (n) => 'x'.repeat(n) },
];

/** Parameters of a run that are right, in numbers that JavaScript would change. */
export const DECIMALS: LargeBody = {
  what: 'decimals that are right',
  method: 'POST',
  path: START,
  text: (n) => `{"a":${list('12.50', n)}}`,
};
