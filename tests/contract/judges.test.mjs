// Other people's judges of openapi.yaml: they must find nothing. tests/contract/*.yaml hold their
// settings, and say why a rule is off.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { OPENAPI, top } from './lib/contract.mjs';

const modules = join(top, 'tests/node_modules');
const folder = mkdtempSync(join(tmpdir(), 'kamd-contract-'));
after(() => rmSync(folder, { recursive: true, force: true }));

// {code, output}. Run by our own node, without npx, which would look elsewhere for what is not installed.
const run = (script, ...args) => new Promise((done) => {
  const options = { maxBuffer: 64 << 20, cwd: join(top, 'tests'), env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true', FORCE_COLOR: '0' } };
  execFile(process.execPath, [join(modules, script), ...args], options, (error, stdout, stderr) => done({ code: error?.code ?? 0, output: `${stdout}${stderr}`.slice(-8000) }));
});
const config = (name) => join(top, 'tests/contract', name);

test('Redocly CLI: recommended rules', async () => {
  const { code, output } = await run('@redocly/cli/bin/cli.js', 'lint', '--config', config('redocly.yaml'), '--format=codeframe', OPENAPI);
  assert.equal(code, 0, output);
  assert.doesNotMatch(output, /You have \d+ warnings?/, output);
});

test('Spectral: spectral:oas and the OWASP ruleset', async () => {
  const { code, output } = await run('@stoplight/spectral-cli/dist/index.js', 'lint', '--ruleset', config('spectral.yaml'), '--fail-severity=warn', '--format=text', OPENAPI);
  assert.equal(code, 0, output);
});

// What a client's author writes against the types: this must compile, and the lines below
// `@ts-expect-error` must not.
const CLIENT = `
import createClient from 'openapi-fetch';
import type { paths, components } from './kamd.js';
const kamd = createClient<paths>({ baseUrl: 'http://localhost:8080' });
type Account = components['schemas']['Account'];

export async function best(): Promise<Account[]> {
  const { data, error } = await kamd.GET('/v1/accounts', { params: { query: { tier: ['A'], order_by: ['-score'], score_gte: '60' } } });
  if (error) throw new Error(error.code satisfies components['schemas']['ProblemCode']);
  return data.data;
}
export async function rename(account: Account, name: string): Promise<string | undefined> {
  const { data } = await kamd.PATCH('/v1/accounts/{id}', { params: { path: { id: account.id }, header: { 'If-Match': account.etag } }, body: { name } });
  return data?.tier;
}
// What a record always has needs no second thought; what may be empty is null.
export const label = (account: Account): string => [account.name.toUpperCase(), account.tier, account.manager_id ?? 'nobody'].join();
export async function wrong(): Promise<void> {
  // @ts-expect-error who does not see the economics has no score
  const score: string | null = (await best())[0]!.score;
  // @ts-expect-error there is no such tier
  await kamd.GET('/v1/accounts', { params: { query: { tier: ['D'] } } });
  // @ts-expect-error derived fields cannot be written
  await kamd.POST('/v1/accounts', { body: { name: 'X', score: '1' } });
  // @ts-expect-error a contact needs its account and a family name
  await kamd.POST('/v1/contacts', { body: { given_name: 'Maria' } });
}
`;

test('openapi-typescript, and tsc --strict on the types and on a client', async () => {
  const types = join(folder, 'kamd.d.ts');
  const made = await run('openapi-typescript/bin/cli.js', OPENAPI, '-o', types);
  assert.equal(made.code, 0, made.output);
  writeFileSync(join(folder, 'client.ts'), CLIENT);
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: { strict: true, noEmit: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, skipLibCheck: false, target: 'es2022', module: 'esnext', moduleResolution: 'bundler', lib: ['es2022', 'dom'],
      types: [], baseUrl: modules, paths: { 'openapi-fetch': ['openapi-fetch'] } },
    files: ['kamd.d.ts', 'client.ts'],
  }));
  const checked = await run('typescript/bin/tsc', '-p', folder);
  assert.equal(checked.code, 0, checked.output);
});
