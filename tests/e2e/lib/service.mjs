// What stands before kamd in Kubernetes: a Service and its readiness probes. Connections go to processes that are ready; where none is, they are refused.
import { connect, createServer } from 'node:net';
import { statusOf } from './kamd.mjs';
import { freePort } from './stack.mjs';
import { sleep } from './wait.mjs';

const EVERY = 200; // ms; the manifests ask every 2 s
const FAILURES = 2; // as in the manifests: so many misses in a row, and the endpoint is gone

// {url, ready(): how many processes are, probed(n): when each was asked n times more, stop()}.
export async function startService(kamds) {
  const ends = kamds.map((kamd) => ({ port: Number(new URL(kamd.url).port), probe: `${kamd.adminUrl}/readyz`, ready: false, misses: 0, probes: 0 }));
  let stopped = false;
  const probing = ends.map(async (end) => {
    while (!stopped) {
      const fine = await statusOf(end.probe, 5000) === 200;
      end.misses = fine ? 0 : end.misses + 1;
      end.ready = fine || (end.ready && end.misses < FAILURES);
      end.probes++;
      await sleep(EVERY);
    }
  });
  let turn = 0;
  const server = createServer((client) => {
    const ready = ends.filter((end) => end.ready);
    if (!ready.length) {
      client.resetAndDestroy();
      return;
    }
    const up = connect(ready[turn++ % ready.length].port, '127.0.0.1');
    for (const [one, other] of [[client, up], [up, client]]) one.on('error', () => other.destroy()).pipe(other);
  });
  const port = await freePort();
  await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
  const service = {
    url: `http://127.0.0.1:${port}`,
    ready: () => ends.filter((end) => end.ready).length,
    async probed(n) {
      const from = ends.map((end) => end.probes);
      while (!ends.every((end, i) => end.probes >= from[i] + n)) await sleep(EVERY / 4);
    },
    async stop() {
      stopped = true;
      await Promise.all(probing);
      await new Promise((done) => { server.close(done); });
    },
  };
  await service.probed(1);
  return service;
}
