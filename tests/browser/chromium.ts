import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
/** It asks nobody anything by itself. */
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * Starts the Chromium of this machine, without a window and with a fresh profile.
 * @param args switches of this start, e.g. `--host-resolver-rules=MAP evil.test 127.0.0.1`
 * @throws Error where there is none
 */
export function startChromium(args: string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), headless: true, args: [...QUIET, ...args] });
}

function findChromium(): string {
  const { CHROMIUM: given, PATH: path = '' } = process.env;
  if (given) return given;
  const found = NAMES.flatMap((name) => path.split(delimiter).map((folder) => join(folder, name)));
  const file = found.find((candidate) => existsSync(candidate));
  if (file) return file;
  throw new Error(
    'no Chromium on the PATH: install one (Debian: apt-get install chromium), or set CHROMIUM to its path',
  );
}

/** What a page did. */
export interface Watched {
  /** The addresses of all requests. */
  requests: string[];
  /** Requests that got no reply. */
  failed: string[];
  /** Errors and warnings on the console, with what was thrown in the page. */
  complaints: string[];
}

/** Keeps what a page does from now on. */
export function watch(page: Page): Watched {
  const watched: Watched = { requests: [], failed: [], complaints: [] };
  page.on('request', (request) => watched.requests.push(request.url()));
  page.on('requestfailed', (request) => watched.failed.push(request.url()));
  page.on('pageerror', (error) => watched.complaints.push(error.message));
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()))
      watched.complaints.push(`${message.text()} ${message.location().url}`);
  });
  return watched;
}
