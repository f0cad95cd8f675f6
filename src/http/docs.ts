import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { AppError } from '../errors.js';
import { DOCS_CSS, DOCS_JS, docsHtml } from './docs-page.js';
import { requestHeader, type Env } from './env.js';
import type { Router } from './router.js';
import type { Served } from './served.js';

const SCRIPT = 'text/javascript; charset=utf-8';
const STYLE = 'text/css; charset=utf-8';

/** All that the page loads. Without a text of ours it is a file of swagger-ui-dist; nothing else can be asked for. */
const ASSETS = new Map<string, { type: string; text?: string }>([
  ['docs.js', { type: SCRIPT, text: DOCS_JS }],
  ['docs.css', { type: STYLE, text: DOCS_CSS }],
  ['swagger-ui-bundle.js', { type: SCRIPT }],
  ['swagger-ui.css', { type: STYLE }],
  ['favicon-32x32.png', { type: 'image/png' }],
]);

/** Nothing from elsewhere, no inline script, in nobody's frame. Swagger UI sets styles inline. */
const POLICY = [
  "default-src 'self'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
const FOR_EVER = 'public, max-age=31536000, immutable';

/** Adds the reference page, which shows `/openapi.json` and loads nothing from elsewhere. */
export function addDocs(router: Router): void {
  const swagger = swaggerUi();
  router.addPage('/docs', (c, { replyHeaders }) => {
    replyHeaders['content-type'] = 'text/html; charset=utf-8';
    replyHeaders['content-security-policy'] = POLICY;
    replyHeaders['cache-control'] = 'no-cache';
    const isBelow = new URL(c.req.url).pathname.endsWith('/');
    return docsHtml(`${isBelow ? '' : 'docs/'}${swagger.version()}/`);
  });
  router.addOpen('/docs/:version/:file', async (c, { replyHeaders }) => {
    const file = c.req.param('file') ?? '';
    const asset = ASSETS.get(file);
    if (!asset) throw new AppError('not_found', 'Not Found');
    replyHeaders['content-type'] = asset.type;
    // While workers are replaced, the page may be of one version and its files of the other.
    replyHeaders['cache-control'] = c.req.param('version') === swagger.version() ? FOR_EVER : 'no-cache';
    const bytes = asset.text === undefined ? await readFile(swagger.path(file)) : Buffer.from(asset.text);
    return asset.type === 'image/png' ? bytes : compressed(c, bytes, replyHeaders);
  });
}

const manifest = z.object({ version: z.string() });

/** Where swagger-ui-dist is, looked up when it is first asked for; the version tells also of our own files. */
function swaggerUi() {
  let found: { folder: string; version: string } | undefined;
  const find = () => {
    if (found) return found;
    const require = createRequire(import.meta.url);
    const { version } = manifest.parse(require('swagger-ui-dist/package.json'));
    const own = createHash('sha256').update(DOCS_JS).update(DOCS_CSS).digest('hex').slice(0, 8);
    const folder = dirname(require.resolve('swagger-ui-dist/package.json'));
    return (found = { folder, version: `${version}-${own}` });
  };
  return { version: () => find().version, path: (file: string) => join(find().folder, file) };
}

const zip = promisify(gzip);

async function compressed(
  c: Context<Env>,
  bytes: Buffer<ArrayBuffer>,
  replyHeaders: Served['replyHeaders'],
): Promise<Buffer<ArrayBuffer>> {
  replyHeaders['vary'] = 'accept-encoding';
  if (!/\bgzip\b/i.test(requestHeader(c, 'accept-encoding') ?? '')) return bytes;
  replyHeaders['content-encoding'] = 'gzip';
  return zip(bytes);
}
