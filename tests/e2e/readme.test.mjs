// What the documents show is what one gets.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { openWorld } from './lib/world.mjs';

let world;
before(async () => { world = await openWorld(); });
after(() => world?.close());

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

test('the worked example of how an account becomes key prints what the contract says', async () => {
  const { tags } = await world.api.get('/openapi.json');
  const { description } = tags.find(({ name }) => name === 'Program');
  const [, script, printed] = /```sh\n(# worked example.*?)```\n\n```\n(.*?)```/s.exec(description);
  const [kam] = /^kam\(\) .*$/m.exec(readme);
  // Under sanitizers and load, two seconds may be short: instead it waits until no score is due.
  const wait = 'sleep() { until [ "$(psql -XAtqc "select count(*) from rescore_queue" "$DATABASE_SUPERUSER_URL")" = 0 ]; do command sleep 0.1; done; }';
  const output = execFileSync('bash', ['-euc', `${kam}\n${wait}\n${script}`], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, KAMD_URL: world.kamds[0].url, KAMD_API_KEY: world.api.key, DATABASE_SUPERUSER_URL: world.settings.DATABASE_SUPERUSER_URL },
  });
  assert.equal(output, printed);
});
