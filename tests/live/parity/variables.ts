import { type Script } from './script.js';

export const variableScripts: Record<string, Script> = {
  variables: async (send, tag) => {
    const path = `/variables/name/${tag}`;
    await send('POST', '/variables/', { name: tag, value: { a: [1, null, 'é', true, 1.5] } });
    await send('POST', '/variables/', { name: tag, value: 1 });
    await send('GET', path);
    for (const name of ['A', 'a b', 'a/b', 'a.b', 'é', 5, null, 'x'.repeat(256)]) {
      await send('POST', '/variables/', { name, value: 1 });
    }
    for (const body of [
      { name: `${tag}-b` },
      { value: 1 },
      { name: `${tag}-b`, value: 1, bogus: 1 },
      'text',
    ]) {
      await send('POST', '/variables/', body);
    }
    await send('POST', '/variables/', { name: `${tag}-b`, value: 1, tags: null });
    for (const value of ['x'.repeat(4999), 'é'.repeat(2500), ['x'.repeat(4998)], 'x'.repeat(4998)]) {
      await send('POST', '/variables/', { name: `${tag}-b`, value });
    }
    for (const change of [
      {},
      { value: null },
      { value: [1, { x: null }], tags: ['b', 'a', 'b'] },
      { value: 'x'.repeat(4999) },
      { name: null },
      { tags: null },
      { name: `${tag}-b` },
      { name: tag },
      { name: 'A' },
      { bogus: 1 },
      { name: `${tag}-c` },
    ]) {
      await send('PATCH', path, change);
      await send('GET', path);
    }
    await send('PATCH', path, { value: 1 });
    await send('DELETE', path);
    for (const letter of ['b', 'c', 'c']) await send('DELETE', `${path}-${letter}`);
  },
};
