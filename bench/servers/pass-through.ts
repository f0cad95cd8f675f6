import { createAdaptorServer } from '@hono/node-server';
import { Hono } from 'hono';
import { Pool } from 'undici';
import { announce } from './announce.js';

/**
 * The least that Hono, its Node server and undici need to pass a run on: no log, no validation, no deadline, no
 * retry, no error but Hono's own. The pool is as big as the facade's.
 */
const upstream = process.env['UPSTREAM'] ?? '';
const pool = new Pool(upstream, { connections: 64, pipelining: 1 });
const app = new Hono();

app.get('/proxy/flow_runs/:id/poll', async (c) => {
  const reply = await pool.request({ method: 'GET', path: `/api/flow_runs/${c.req.param('id')}` });
  const headers = { 'content-type': 'application/json' };
  return new Response(await reply.body.text(), { status: reply.statusCode, headers });
});
announce(createAdaptorServer({ fetch: app.fetch }));
