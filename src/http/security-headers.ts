/**
 * On every reply: nothing of it is kept by a cache (it may hold secrets), taken for another type, or shown as a page.
 * A page of ours sets its own policy over it.
 */
export const SECURITY_HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
} as const;
