// What a request costs in CPU and memory, as deploy/README.md's table has it: node tests/rehearsal/sizing.mjs. CPU time and
// not time: it stays the same on a machine that is busy with other things.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { load } from './lib/load.mjs';
import { tree } from '../e2e/lib/stack.mjs';
import { makeAccount, openWorld, unique } from '../e2e/lib/world.mjs';

const N = Number(process.env.REQUESTS || 3000);
const ticks = (pid) => {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
    return Number(fields[11]) + Number(fields[12]);
  } catch { return 0; }
};
const seconds = (pids) => pids.reduce((sum, pid) => sum + ticks(pid), 0) / 100;
const resident = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

const world = await openWorld({ own: true, settings: { KAMD_RATE_LIMIT: '0' } });
const [kamd] = world.kamds;
const { api } = world;
const idle = resident(kamd.pid);
const account = await makeAccount(api);
for (let i = 0; i < 200; i++) await makeAccount(api);
const kinds = {
  'one account, from the cache': () => ({ method: 'GET', path: `/v1/accounts/${account.id}` }),
  'a page of 50 accounts': () => ({ method: 'GET', path: '/v1/accounts?page_size=50' }),
  'recognition, from memory': () => ({ method: 'GET', path: `/v1/recognition?account_number=${account.account_number}` }),
  'an account is made': () => ({ method: 'POST', path: '/v1/accounts', body: { name: unique('Sizing') } }),
};
for (const [what, next] of Object.entries(kinds)) {
  await load({ url: kamd.url, key: api.key, width: 10, next, enough: (done) => done >= 200 });
  const before = { kamd: seconds([kamd.pid]), postgres: seconds(tree(world.stack.postgres()[0])) };
  const { done, errors } = await load({ url: kamd.url, key: api.key, width: 10, next, enough: (n) => n >= N });
  const cost = (now, then) => ((now - then) * 1000 / done).toFixed(2);
  console.log(`${what}: ${cost(seconds([kamd.pid]), before.kamd)} ms CPU of kamd, ${cost(seconds(tree(world.stack.postgres()[0])), before.postgres)} ms of PostgreSQL, ${resident(kamd.pid).toFixed(0)} MiB${errors.length ? ` ERRORS ${JSON.stringify(errors)}` : ''}`);
}
const sockets = await Promise.all(Array.from({ length: 2000 }, () => new Promise((done, fail) => {
  const socket = connect(new URL(kamd.url).port, '127.0.0.1', () => { socket.write('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n'); });
  socket.once('data', () => done(socket)).once('error', fail);
})));
console.log(`idle ${idle.toFixed(0)} MiB, with 2,000 open connections ${resident(kamd.pid).toFixed(0)} MiB`);
for (const socket of sockets) socket.destroy();
await world.close();
