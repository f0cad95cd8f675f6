import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { backoff } from '../../src/process/cluster/backoff.js';
import { relayLines } from '../../src/process/cluster/lines.js';

describe('backoff', () => {
  it('waits not at all for a first failure, then longer and longer, up to half a minute', () => {
    expect([0, 1, 2, 3, 4, 5].map(backoff)).toEqual([0, 0, 100, 200, 400, 800]);
    expect(backoff(20)).toBe(30_000);
    expect(backoff(5_000)).toBe(30_000);
  });
});

describe('relayLines', () => {
  it.each([1, 2, 3, 7, 100])('passes on whole lines, however they are cut (%i bytes)', async (size) => {
    const text = '{"a":"é"}\n{"b":"日本"}\n\nlast without an end';
    const bytes = Buffer.from(text);
    const stream = new PassThrough();
    const relayed: string[] = [];
    relayLines(stream, (lines) => relayed.push(lines));
    for (let at = 0; at < bytes.length; at += size) stream.write(bytes.subarray(at, at + size));
    stream.end();
    await once(stream, 'end');
    const lines = relayed.flatMap((part) => part.split('\n')).filter((line) => line !== '');
    expect(lines).toEqual(text.split('\n').filter((line) => line !== ''));
  });
});
