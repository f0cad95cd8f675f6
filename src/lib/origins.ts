import { isIP } from 'node:net';

/** Whether a text is an origin: scheme, host and perhaps a port. `null`, which any sandboxed page has, is none. */
export function isOrigin(text: string): boolean {
  return /^[a-z][a-z\d+.-]*:\/\/[^\s/?#@*]+$/i.test(text) && URL.canParse(text);
}

/** An origin as browsers write it in the `Origin` header: in lower case, without a default port. */
export function asBrowsersWrite(origin: string): string {
  const written = new URL(origin).origin;
  // Of schemes that are not the web's (`tauri://localhost`) URL knows no origin.
  return written === 'null' ? origin.toLowerCase() : written;
}

/** Whether a text is a hostname or an address without a port, `*.` and a domain, or `*`. */
export function isHostPattern(text: string): boolean {
  return text === '*' || isIP(text) !== 0 || /^(\*\.)?[a-z\d_]([a-z\d._-]*[a-z\d_])?$/i.test(text);
}
