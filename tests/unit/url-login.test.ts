import { describe, expect, it } from 'vitest';
import { keyHeaders, takeLogin } from '../../src/lib/url-login.js';

const basic = (login: string) => `Basic ${Buffer.from(login).toString('base64')}`;

describe('takeLogin', () => {
  it.each([
    ['http://x:key@host:8080', 'http://host:8080/', 'x:key'],
    ['https://:key@host/path?a=b', 'https://host/path?a=b', ':key'],
    ['http://user@host', 'http://host/', 'user:'],
    ['http://a%40b:p%3Aq%2Fr@[::1]:1', 'http://[::1]:1/', 'a@b:p:q/r'],
    ['http://J%C3%BCrgen:%F0%9F%98%80@host', 'http://host/', 'Jürgen:😀'],
    ['http://x:100%@host', 'http://host/', 'x:100%'],
  ])('separates the login from %s', (text, url, login) => {
    expect(takeLogin(text)).toEqual({ url, authorization: basic(login), login });
  });

  it.each(['http://host:8080', 'unix:/run/x@y.sock', 'not a url', ''])('leaves %j as it is', (text) => {
    expect(takeLogin(text)).toEqual({ url: text, authorization: undefined });
  });
});

describe('keyHeaders', () => {
  it('sends the key as a bearer token, or beside the login of the URL', () => {
    expect(keyHeaders('http://host', undefined)).toEqual({});
    expect(keyHeaders('http://host', 'key')).toEqual({ authorization: 'Bearer key' });
    expect(keyHeaders('http://u:p@host', undefined)).toEqual({ authorization: basic('u:p') });
    expect(keyHeaders('http://u:p@host', 'key')).toEqual({ authorization: basic('u:p'), 'x-api-key': 'key' });
  });
});
