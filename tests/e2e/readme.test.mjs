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
  // Under sanitizers and load, two seconds may be short.
  const output = execFileSync('bash', ['-euc', `${kam}\nsleep() { command sleep 8; }\n${script}`], {
    encoding: 'utf8', env: { PATH: process.env.PATH, KAMD_URL: world.kamds[0].url, KAMD_API_KEY: world.api.key },
  });
  assert.equal(output, printed);
});
