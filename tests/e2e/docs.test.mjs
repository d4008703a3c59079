// The API page in a real browser: it authorises with a key, tries a call out and shows what came,
// under a Content-Security-Policy without exceptions, and without asking anybody else.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { PATIENCE } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const skip = existsSync(CHROMIUM) ? false : `${CHROMIUM} is not there`;
const MS = 60_000 * PATIENCE;
let world, browser, chromium;

before(async () => {
  world = await openWorld({ workers: 0 });
  if (skip) return;
  ({ chromium } = (await import('playwright-core')).default);
  browser = await chromium.launch({ executablePath: CHROMIUM, timeout: MS, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
});
after(async () => {
  await browser?.close();
  await world?.close();
});

test('the page and its files come with a policy that allows this origin only', async () => {
  const page = await world.api.as().send('GET', '/docs');
  assert.equal(page.status, 200);
  assert.match(page.headers['content-type'], /^text\/html/);
  const files = [...page.text.matchAll(/(?:src|href)="(\/docs\/[^"]+)"/g)].map(([, path]) => path);
  assert.ok(files.length >= 4, page.text);
  for (const { headers, path } of [{ headers: page.headers, path: '/docs' }, ...await Promise.all(files.map(async (path) => ({ path, ...await world.api.as().call(200, 'GET', path) })))]) {
    const policy = headers['content-security-policy'];
    assert.match(policy, /default-src 'none'/, path);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/, path);
    assert.equal(headers['x-content-type-options'], 'nosniff', path);
  }
  await world.api.as().fails(404, 'not_found', 'GET', '/docs/nothing.js');
});

test('files come as they are, with and without gzip', async () => {
  const folder = new URL('../../api/assets/', import.meta.url);
  for (const name of ['docs/swagger-ui-bundle.js', 'docs/page.css', 'docs/README.md']) {
    for (const coding of ['gzip', 'identity']) {
      const answer = await fetch(new URL(name, world.api.url), { headers: { 'accept-encoding': coding } });
      assert.equal(answer.headers.get('content-encoding'), coding === 'gzip' ? 'gzip' : null);
      assert.ok(Buffer.from(await answer.arrayBuffer()).equals(readFileSync(new URL(name, folder))), `${name}, ${coding}`);
    }
  }
});

test('each file has an ETag for each coding, and who has it gets 304', async () => {
  for (const name of ['openapi.json', 'openapi-salesforce.json', 'docs', 'docs/page.css']) {
    const ask = async (coding, known) => {
      const answer = await fetch(new URL(name, world.api.url), { headers: { 'accept-encoding': coding, ...(known && { 'if-none-match': known }) } });
      const { length } = Buffer.from(await answer.arrayBuffer());
      return { status: answer.status, headers: Object.fromEntries(answer.headers), length };
    };
    const [zipped, plain] = [await ask('gzip'), await ask('identity')];
    for (const { status, headers, length } of [zipped, plain]) {
      assert.equal(status, 200, name);
      assert.match(headers.etag, /^"[0-9a-f]{16}-[0-9a-f]{8}"$/, name);
      assert.ok(length > 0, name);
    }
    assert.notEqual(zipped.headers.etag, plain.headers.etag, name);
    for (const [coding, mine, other] of [['gzip', zipped, plain], ['identity', plain, zipped]]) {
      const { etag } = mine.headers;
      for (const known of [etag, `W/${etag}`, `"0000000000000000-00000000", ${etag}`, '*']) {
        const { status, headers, length } = await ask(coding, known);
        assert.deepEqual([status, length, headers.etag], [304, 0, etag], `${name}, ${coding}, ${known}`);
        assert.equal(headers['content-encoding'], undefined, name);
        for (const header of ['cache-control', 'vary']) assert.equal(headers[header], mine.headers[header], `${name}: ${header}`);
      }
      for (const known of [other.headers.etag, '"0000000000000000-00000000"']) {
        const { status, headers, length } = await ask(coding, known);
        assert.deepEqual([status, length, headers.etag], [200, mine.length, etag], `${name}, ${coding}, ${known}`);
      }
    }
  }
});

// What the page says and asks for, beyond what it should.
function watch(page, origin) {
  const wrong = [];
  // Swagger UI itself warns that it has no input of its own for formats of texts such as uuid.
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type()) && !message.text().startsWith('Could not find component: JsonSchema_string_')) wrong.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('request', (request) => { if (!request.url().startsWith(origin) && !request.url().startsWith('data:')) wrong.push(`request: ${request.url()}`); });
  page.on('requestfailed', (request) => wrong.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
  return wrong;
}

test('a call is tried out', { skip }, async () => {
  const account = await makeAccount(world.api);
  const page = await browser.newPage({ viewport: { width: 1280, height: 1400 } });
  page.setDefaultTimeout(MS);
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
  });
  const wrong = watch(page, world.kamds[0].url);
  await page.goto(`${world.kamds[0].url}/docs`);

  await page.locator('.auth-wrapper .authorize').first().click();
  const bearer = page.locator('.auth-container').first(); // of an API key
  await bearer.locator('#auth-bearer-value').fill(world.api.key);
  await bearer.locator('.auth-btn-wrapper button[type=submit]').click();
  await page.locator('.btn-done').first().click();

  await page.locator('#operations-tag-Accounts').click();
  const operation = page.locator('#operations-Accounts-listAccounts');
  await operation.locator('.opblock-summary-control').click();
  await operation.locator('.try-out__btn').click();
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.url().includes('/v1/accounts')),
    operation.locator('.execute').click(),
  ]);
  assert.equal(new URL(answer.url()).search, '?page_size=50&include_total=false', 'only what has a default is sent');
  assert.equal(answer.status(), 200);
  const live = operation.locator('.live-responses-table');
  await live.waitFor();
  assert.equal((await live.locator('.response-col_status').last().innerText()).trim().split('\n')[0], '200');
  assert.match(await live.locator('.response-col_description .highlight-code, .response-col_description pre').first().innerText(), new RegExp(account.name));
  if (process.env.DOCS_SCREENSHOT) {
    await live.scrollIntoViewIfNeeded();
    await page.screenshot({ path: process.env.DOCS_SCREENSHOT });
  }

  await page.reload();
  await page.locator('.auth-wrapper .authorize.locked').first().waitFor();
  assert.deepEqual(await page.evaluate(() => window.violations), [], 'violations of the policy');
  assert.deepEqual(wrong, []);
  await page.close();
});
