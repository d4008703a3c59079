// See run. Two tools that other people wrote attack a running kamd; this one feeds them, and counts.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { load } from '../e2e/lib/northwind.mjs';
import { openWorld } from '../e2e/lib/world.mjs';
import { startHelper } from './helper.mjs';
import { bodies, ids, readable, targets } from './targets.mjs';

const RUN = process.env.ATTACK_RUN;
const seconds = (name, preset) => Number(process.env[name] ?? preset);
const TOTAL = seconds('ATTACK_SECONDS', 28_800);
const EACH = seconds('ATTACK_PARAMETER', 180);
const WAPITI = seconds('ATTACK_WAPITI', 1800);
const PARALLEL = seconds('ATTACK_PARALLEL', Math.max(1, Math.floor((availableParallelism?.() ?? cpus().length) / 2)));
const STATE = join(RUN, 'state.json');
const parts = process.argv.slice(2);

if (process.env.ATTACK_FRESH) rmSync(STATE, { force: true });
const state = existsSync(STATE) ? JSON.parse(readFileSync(STATE, 'utf8')) : {};
let stopping = false;
const save = () => writeFileSync(STATE, JSON.stringify(state, null, 1));

// {code, output}; code is null when the time was up.
const tool = (program, args, limit) => new Promise((done) => {
  execFile(program, args, { timeout: limit * 1000, killSignal: 'SIGTERM', maxBuffer: 64 << 20, env: { PATH: process.env.PATH, HOME: RUN, LANG: 'C.UTF-8' } },
    (error, stdout, stderr) => done({ code: error ? (error.killed ? null : error.code) : 0, output: stdout + stderr }));
});

// ---- sqlmap -------------------------------------------------------------------------------------

const CLEAN = /all tested parameters do not appear to be injectable|does not seem to be injectable/;
// Its last word: what only "appears to be injectable" it checks itself for being a false positive.
const FOUND = /identified the following injection point/;

let begun = 0;
async function sqlmap(target, key, helper) {
  const mine = `n${++begun}`;
  const headers = { Authorization: `Bearer ${key}`, ...(target.data && { 'Content-Type': 'application/json' }), ...target.headers };
  const folder = join(RUN, 'sqlmap', target.name.replace(/[^\w.]+/g, '_').slice(0, 120));
  rmSync(folder, { recursive: true, force: true });
  const { code, output } = await tool('sqlmap', [
    '-u', `${helper.url}/t/${mine}${target.url}`, '--method', target.method, ...(target.data ? ['--data', target.data] : []), '--headers', Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join('\n'),
    '--level', '5', '--risk', '3', '--dbms', 'PostgreSQL', '--batch', '--disable-coloring', '--output-dir', folder, '--timeout', '10', '--retries', '0', '--time-sec', '2',
    '--ignore-code', '400,401,404,409,412,415,422,428', '--skip-heuristics', '--skip-waf', '--keep-alive', '--answers', 'injection marker=Y,redirect=N,JSON data=Y,keep testing=N',
  ], EACH);
  rmSync(folder, { recursive: true, force: true });
  const result = FOUND.test(output) ? 'FINDING' : CLEAN.test(output) ? 'clean' : code === null ? 'out of time' : 'failed';
  if (result !== 'clean') {
    mkdirSync(join(RUN, 'said'), { recursive: true });
    writeFileSync(join(RUN, 'said', `${target.name.replace(/[^\w.]+/g, '_').slice(0, 120)}.txt`), output);
  }
  const answers = helper.answers(mine);
  // Not let in, it attacked nothing; but a wrong secret is what /oauth/token is there to refuse.
  const shutOut = answers[401] > 0 && !/ \/oauth\/token /.test(target.name);
  return { result: shutOut && result === 'clean' ? 'failed' : result, answers };
}

async function attackParameters(all, key, helper) {
  const until = Date.now() + TOTAL * 1000;
  // Out of time once: again, after all that were not tried.
  const rank = ({ name }) => ({ clean: 2, FINDING: 2 }[state[name]?.result] ?? (state[name] ? 1 : 0));
  const queue = all.filter((one) => rank(one) < 2).sort((a, b) => rank(a) - rank(b));
  await Promise.all(Array.from({ length: PARALLEL }, async () => {
    while (!stopping && queue.length && Date.now() + EACH * 250 < until) {
      const target = queue.shift();
      const started = Date.now();
      const answer = await sqlmap(target, key, helper);
      if (stopping) return;
      state[target.name] = { ...answer, seconds: Math.round((Date.now() - started) / 1000) };
      save();
      console.log(`${answer.result.padEnd(11)} ${String(state[target.name].seconds).padStart(4)} s ${target.name} ${JSON.stringify(answer.answers)}`);
    }
  }));
}

// ---- wapiti -------------------------------------------------------------------------------------

// Left out: what asks hosts of its makers (nikto, wapp, ssrf, xxe), and what guesses passwords or files of other servers' software (brute_login_form, buster).
const MODULES = ['sql', 'blindsql', 'xss', 'permanentxss', 'exec', 'file', 'crlf', 'redirect', 'htaccess', 'methods', 'shellshock', 'backup', 'csrf', 'csp', 'cookieflags', 'http_headers'];
// Of what it reports these are none: X-XSS-Protection is gone from browsers, and does harm in those that had it; PUT, PATCH and DELETE are what the contract documents.
const NO_FINDING = /X-XSS-Protection|Possible interesting methods/;

async function wapiti(base, key, starts) {
  const report = join(RUN, 'wapiti.json');
  rmSync(report, { force: true });
  const { code, output } = await tool('wapiti', [
    '-u', `${base}/`, ...starts.flatMap((url) => ['-s', url]), '--scope', 'folder', '-m', MODULES.join(','), '-H', `Authorization: Bearer ${key}`,
    '--max-scan-time', String(WAPITI / 4), '--max-attack-time', String((WAPITI * 3) / 4 / MODULES.length), '--max-links-per-page', '100', '-d', '3', '-S', 'normal', '--no-bugreport', '--flush-session', '--store-session', join(RUN, 'wapiti'), '-f', 'json', '-o', report, '-t', '10', '--verify-ssl', '0',
  ], WAPITI * 2 + 300);
  writeFileSync(join(RUN, 'wapiti.txt'), output);
  if (!existsSync(report)) return { code, findings: [{ info: `wapiti made no report (${code}): ${output.slice(-500)}` }] };
  const found = JSON.parse(readFileSync(report, 'utf8'));
  const all = ['vulnerabilities', 'anomalies'].flatMap((kind) => Object.entries(found[kind]).flatMap(([category, list]) => list.map((one) => ({ category, ...one }))));
  return { code, findings: all.filter(({ info }) => !NO_FINDING.test(info)), left: all.filter(({ info }) => NO_FINDING.test(info)).length };
}

// ---- all of it ----------------------------------------------------------------------------------

const world = await openWorld({ own: true, settings: { KAMD_RATE_LIMIT: '0', KAMD_HSTS_SECONDS: '31536000', KAMD_LOG_LEVEL: 'warn' } });
let failed = true;
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {
  stopping = true;
  world.close().finally(() => process.exit(1));
});
try {
  const { api, kamds: [kamd] } = world;
  const loaded = await load(kamd.url, api.key);
  if (loaded.code !== 0) throw new Error(loaded.output);
  const known = await ids(api);
  const fitting = await bodies(api, known);
  const unfit = [...fitting].filter(([, { status }]) => status >= 400);
  console.log(`${fitting.size} operations with a body, ${fitting.size - unfit.length} accept theirs${unfit.map(([name, { status, said }]) => `\n  ${status} ${name} ${said}`).join('')}`);
  const every = targets(known, fitting);
  const chosen = every.filter(({ name }) => !parts.length || parts.some((part) => name.includes(part)));
  console.log(`${every.length} parameters, ${chosen.length} chosen, ${chosen.filter(({ name }) => state[name]?.result === 'clean').length} clean before; ${PARALLEL} at once for ${TOTAL} s, then wapiti for ${WAPITI} s`);
  const helper = await startHelper(kamd.url);
  await attackParameters(chosen, api.key, helper);
  await helper.close();
  const starts = readable(kamd.url, known);
  const crawl = WAPITI > 0 ? await wapiti(kamd.url, api.key, starts) : { findings: [] };
  const alive = (await api.send('GET', '/v1/me')).status === 200 && kamd.pid > 0;
  const count = (result) => chosen.filter(({ name }) => state[name]?.result === result).length;
  const findings = chosen.filter(({ name }) => state[name]?.result === 'FINDING');
  const { text } = await api.at(kamd.adminUrl).send('GET', '/metrics');
  const requests = [...text.matchAll(/^kamd_http_request_duration_seconds_count\{.*\} (\d+)$/gm)].reduce((sum, [, n]) => sum + Number(n), 0);
  const kinds = new Set(chosen.map(({ unique }) => unique));
  const kindsDone = new Set(chosen.filter(({ name }) => state[name]?.result === 'clean').map(({ unique }) => unique));
  console.log(`\nsqlmap: ${count('clean')} of ${chosen.length} parameters clean (${kindsDone.size} of ${kinds.size} kinds), ${count('out of time')} out of time, ${count('failed')} failed, ${chosen.filter(({ name }) => !state[name]).length} not tried, ${findings.length} findings`);
  for (const { name } of findings) console.log(`  FINDING ${name}`);
  if (WAPITI > 0) {
    console.log(`wapiti: ${starts.length} pages to begin with, ${crawl.findings.length} findings${crawl.left ? `, ${crawl.left} reports that are none (see NO_FINDING)` : ''}`);
    for (const { category, method, path, info } of crawl.findings.slice(0, 50)) console.log(`  FINDING ${category}: ${method} ${path} ${info}`);
  }
  if (!alive) console.log('FINDING: kamd does not answer any more');
  const problems = kamd.log().split('\n').filter((line) => /"internal_error"/.test(line));
  console.log(`kamd: ${requests} requests answered in this run, ${problems.length} internal errors logged`);
  for (const line of problems.slice(0, 10)) console.log(`  FINDING ${line}`);
  const total = findings.length + crawl.findings.length + problems.length + !alive;
  console.log(`${total} findings`);
  failed = total > 0;
} finally {
  await world.close();
}
process.exit(failed ? 1 : 0);
