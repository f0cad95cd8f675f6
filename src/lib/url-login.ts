export interface UrlAndLogin {
  /** Without the login: safe to show. */
  url: string;
  /** The value of an `Authorization: Basic` header; undefined if the URL has no login. */
  authorization: string | undefined;
  /** `user:password`, decoded. */
  login?: string;
}

/**
 * Takes the login out of `http://user:password@host`: neither `fetch` nor undici sends it, and it must not be shown.
 * A text that is no such URL (`unix:/path`) stays as it is.
 */
export function takeLogin(text: string): UrlAndLogin {
  const asItIs = { url: text, authorization: undefined };
  if (!URL.canParse(text)) return asItIs;
  const url = new URL(text);
  if (!url.username && !url.password) return asItIs;
  const login = `${unescaped(url.username)}:${unescaped(url.password)}`;
  url.username = url.password = '';
  return { url: url.href, authorization: `Basic ${Buffer.from(login).toString('base64')}`, login };
}

/** A `%` that escapes nothing is taken as written. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** How our own commands show a facade its key: beside a login in the URL, which may be for a proxy before it. */
export function keyHeaders(url: string, apiKey: string | undefined): Record<string, string> {
  const { authorization } = takeLogin(url);
  if (authorization === undefined) return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` };
  return { authorization, ...(apiKey === undefined ? {} : { 'x-api-key': apiKey }) };
}
