// T16: 2,000 clients that send a byte now and then, for half a minute, while others work. No part of
// `make test`: run it with node --test. SLOW_CLIENTS and SLOW_SECONDS change its size.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openWorld } from '../e2e/lib/world.mjs';

const CLIENTS = Number(process.env.SLOW_CLIENTS || 2000);
const SECONDS = Number(process.env.SLOW_SECONDS || 30);
const HOST = 'Host: a\r\n';
const STARTS = ['GET /', `GET /livez HTTP/1.1\r\n${HOST}X: `, `POST /v1/accounts HTTP/1.1\r\n${HOST}Content-Length: 1000000\r\n\r\n`,
  `POST /v1/accounts HTTP/1.1\r\n${HOST}Transfer-Encoding: x\r\n\r\n`];

const residentMiB = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

test(`${CLIENTS} slow clients are cut, and nobody else notices`, { timeout: (SECONDS + 120) * 1000 }, async (t) => {
  const world = await openWorld({ settings: { KAMD_HEADER_SECONDS: '5', KAMD_BODY_SECONDS: '10' } });
  t.after(() => world.close());
  const [kamd] = world.kamds;
  const until = Date.now() + SECONDS * 1000;
  const lives = [];

  // Connects again whenever it is cut.
  async function slow(start) {
    while (Date.now() < until) {
      const began = Date.now();
      await new Promise((done) => {
        const socket = connect(Number(world.api.url.port), world.api.url.hostname, () => socket.write(start));
        const drop = setInterval(() => (Date.now() < until ? socket.write('a') : socket.destroy()), 300);
        socket.on('error', () => {}).on('close', () => { clearInterval(drop); done(); }).resume();
      });
      if (Date.now() < until) lives.push(Date.now() - began);
    }
  }

  const times = [];
  async function honest() {
    while (Date.now() < until) {
      times.push((await world.api.call(200, 'GET', '/v1/accounts')).ms);
      await pause(20);
    }
  }

  const before = residentMiB(kamd.pid);
  const attackers = Array.from({ length: CLIENTS }, (_, i) => slow(STARTS[i % STARTS.length]));
  await pause(2000);
  let most = 0;
  const watch = setInterval(() => { most = Math.max(most, residentMiB(kamd.pid)); }, 500);
  await Promise.all([...attackers, ...Array.from({ length: 4 }, honest)]);
  clearInterval(watch);

  times.sort((a, b) => a - b);
  const slowest = times.at(-1);
  t.diagnostic(`${times.length} honest requests, p50 ${times[times.length >> 1]} ms, p99 ${times[Math.floor(times.length * 0.99)]} ms, `
    + `slowest ${slowest} ms; ${lives.length} slow clients cut after at most ${Math.max(...lives)} ms; memory ${before.toFixed(0)} to ${most.toFixed(0)} MiB`);
  assert.ok(lives.length >= CLIENTS, 'slow clients were not cut');
  assert.ok(Math.max(...lives) < 15_000, 'a slow client lived longer than its deadline');
  assert.ok(slowest < 3000, `an honest request took ${slowest} ms`);
  assert.ok(most - before < 100, `${before} MiB became ${most} MiB`);
});
