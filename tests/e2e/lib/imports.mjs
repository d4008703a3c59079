// Imports, as a client makes them. `client()` is the one of the moment: after a crash it is another.
import assert from 'node:assert/strict';
import { until } from './wait.mjs';

export function importer(client) {
  const make = async (body) => (await client().call(201, 'POST', '/v1/imports', { body })).body;
  const part = async (id, n, raw, status = 200, type = 'text/csv') => {
    const answer = await client().insist('PUT', `/v1/imports/${id}/parts/${n}`, { raw, type, ms: 60_000 });
    assert.equal(answer.status, status, answer.text);
  };
  const state = (id) => client().get(`/v1/imports/${id}`);
  const start = async (id) => (await client().call(202, 'POST', `/v1/imports/${id}/start`, { body: {} })).body;
  const finished = (id, ms = 40_000) => until(async () => {
    const one = await state(id);
    return ['succeeded', 'failed', 'reverted'].includes(one.status) && one;
  }, { ms, what: `import ${id}` });
  const run = async (body) => {
    const { id } = await make(body);
    await start(id);
    return finished(id);
  };
  const errors = (id) => client().all(`/v1/imports/${id}/errors`);
  return { make, part, state, start, finished, run, errors };
}
