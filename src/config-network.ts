import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const PEM = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]*-----END (?:TRUSTED )?CERTIFICATE-----/g;

/** A file of certificates: its path, once it is known to hold some. */
export const certificateFile = z
  .string()
  .refine(isReadable, 'the file cannot be read')
  .refine((file) => !isReadable(file) || holdsCertificates(file), 'must be a file of certificates (PEM)')
  .optional();

function isReadable(file: string): boolean {
  try {
    readFileSync(file);
    return true;
  } catch {
    return false;
  }
}

function holdsCertificates(file: string): boolean {
  const text = readFileSync(file, 'utf8');
  const blocks = text.match(PEM) ?? [];
  try {
    for (const block of blocks) new X509Certificate(block);
  } catch {
    return false;
  }
  return blocks.length > 0 && blocks.length === text.match(/-----BEGIN (TRUSTED )?CERTIFICATE-----/g)?.length;
}

/** A proxy: `http://user:password@host:port`; without a scheme it is http. */
export const proxyUrl = z
  .string()
  .transform((text) => (text.includes('://') ? text : `http://${text}`))
  .refine((text) => URL.canParse(text), 'must be the URL of a proxy')
  .optional();

export function isHttpProxy(proxy: string | undefined): boolean {
  return proxy === undefined || /^https?:/i.test(proxy);
}

/** PREFECT_CLIENT_CUSTOM_HEADERS: an object in JSON, as Prefect takes it; names in lower case. */
export const customHeaders = z
  .string()
  .default('{}')
  .transform((text, context) => {
    const parsed = z.record(z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/), z.string().regex(/^[\t\x20-\x7e]*$/));
    const { data } = parsed.safeParse(json(text));
    if (data)
      return Object.fromEntries(Object.entries(data).map(([name, value]) => [name.toLowerCase(), value]));
    context.addIssue({ code: 'custom', message: 'must be a JSON object of header names and texts' });
    return z.NEVER;
  });

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Prefect's client keeps these to itself; the rest belong to the connection. */
const OWN =
  /^(user-agent|prefect-csrf-.*|host|connection|upgrade|content-length|transfer-encoding|keep-alive|te|trailer|expect|proxy-.*|sec-websocket-.*)$/;

/** Whether a custom header is not sent. */
export function isIgnoredHeader(name: string): boolean {
  return OWN.test(name);
}

/** What may be written in small letters, too; then that counts, as in Prefect's client. */
const PROXY_NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY', 'NO_PROXY'];

export function withProxyNames(
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string | undefined> {
  const small = PROXY_NAMES.filter((name) => env[name.toLowerCase()] !== undefined);
  return { ...env, ...Object.fromEntries(small.map((name) => [name, env[name.toLowerCase()]])) };
}
