// See run. Each row: a name, the file, the check as it stands there, what is left of it, and the test that must miss it.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// --check: only that each check stands there, in the sources where this is run.
const look = process.argv[2] === '--check';
const RUN = process.env.MUTATION_RUN ?? '', COPY = look ? '.' : join(RUN, 'copy'), BUILD = join(RUN, 'build');
const only = process.argv.slice(2);
const schema = (name) => `service/store/schema/${name}.sql`;
const ACCESS = schema('access'), GUARD = schema('guard'), PLANS = schema('plans'), WEBHOOKS = schema('webhooks'), LOOK = schema('webhook_look');
const GUARDS = { webhook_delivery: 'webhooks', webhook_retry: 'webhooks', webhook_attempt: 'webhooks', event: 'log', history: 'log', evaluation_result: 'program' };

const MUTATIONS = [
  ['application: area of a record', 'service/domain/resource.c', 'x.areas & %llu <> 0"', 'x.areas & %llu is not null"'],
  ['application: plans by a section', 'service/domain/resource.c', 'area_number(t.section) & 1 = 1"', 'area_number(t.section) & 1 is not null"'],
  ['application: field of another area, in filters and order', 'service/domain/filter_sql.c', 'bool hides = by_access_set && field->area != 0;', 'bool hides = by_access_set && field->area != 0 && false;'],
  ['application: field of another area, in answers', 'service/app/record/row.c', 'return fields_in(row->resource, ~row->hidden | AREA_BIT(row->resource->area));', 'return fields_in(row->resource, AREAS_ALL);'],
  ['application: expand', 'service/app/record/view.c', 'return target->id != RES_ACCOUNT && resource_account(target) &&', 'return false && target->id != RES_ACCOUNT && resource_account(target) &&'],
  ['application: redacted of an account', 'service/app/record/view.c', 'if (row->resource->id == RES_ACCOUNT && row->hidden != 0) {', 'if (row->resource->id == RES_ACCOUNT && row->hidden == 1) {'],
  ['application: writes by area', 'service/app/record/row.c', 'if ((areas & role_writes(action->who->role) & AREA_BIT(area)) != 0)', 'if (areas != 0 || (role_writes(action->who->role) & AREA_BIT(area)) != 0)'],
  ['application: redacted lists', 'service/app/record/list.c', 'if ((areas & AREA_BIT(area)) == 0) {', 'if (areas == 0) {'],
  ['application: events', 'service/app/feed/events.c', '"x.areas >> e.area & 1 = 1"', '"true"'],
  ['application: the sequence of an account', 'service/app/feed/events.c', 'return (areas & AREAS_ALL) == AREAS_ALL;', '(void)areas; return true;'],
  ['application: changes', 'service/app/feed/changes.c', '"x.areas >> e.area & 1 = 1"', '"true"'],
  ['application: streams', 'service/app/feed/stream_loop.c', '(areas >> tx_int(round->tx, round->events, i, EVENT_AREA) & 1) != 0', 'areas != 0'],
  ['application: documents of an area', 'service/app/record/area_guard.c', 'return missing == 0 || refuse(missing, write, err);', 'return missing == 0 || write || !refuse(missing, write, err) || true;'],
  ['application: who may ask about others', 'service/app/caller/access.c', 'return err_set(err, PROBLEM_FORBIDDEN, "You may ask about your own access only.");', '(void)err; return true;'],
  ['application: explanation of a key status', 'service/app/program/key_status.c', 'bool why = (of_customer & role_reads(action->who->role) & AREA_BIT(AREA_ECONOMICS)) != 0;', 'bool why = of_customer != 0;'],
  ['application: generated section', 'service/app/plan/sections.c', 'if ((areas & AREA_BIT(AREA_INTERACTION_HISTORY)) == 0)', 'if (areas == 0)'],
  ['application: guard of a route', 'service/app/record/area_guard.c', 'area_set missing = areas & ~(mine & seen);', 'area_set missing = areas & ~mine;'],
  ['reference: what an id names is seen', 'service/app/record/references.c', 'if (!found || elsewhere)', 'if (elsewhere)', 'references'],
  ['reference: what an id names is of the account', 'service/app/record/references.c', 'if (!found || elsewhere)', 'if (!found)', 'references'],
  ['reference: who sees what an id names', schema('visible'), 'where a.areas >> coalesce(r.area, 63) & 1 = 1;', 'where a.areas >> coalesce(r.area, 63) & 1 = 1 or r.account is not null;', 'references'],
  ['application: whose a webhook endpoint is', 'service/domain/resource.c', 'own(fine) on own.fine"', 'own(fine) on own.fine is not null"', 'own'],
  ['application: whose secret is rotated', 'service/app/webhook/webhooks.c', '" and e.deleted_at is null and is_callers(e.actor, e.reach)),"', '" and e.deleted_at is null),"', 'own'],
  ['application: whose deliveries are sent again', 'service/app/webhook/webhook_replay.c', '" and is_callers(e.actor, e.reach)"\nenum', '""\nenum', 'own'],
  ['application: whose deliveries are counted', 'service/app/webhook/webhook_replay.c', '" where e.id = $1::uuid and is_callers(e.actor, e.reach)",', '" where e.id = $1::uuid",', 'own'],
  ['application: whose deliveries are listed', LOOK, 'and is_callers(e.actor, e.reach));\n    ids', ');\n    ids', 'own'],
  ['application: events of endpoints', 'service/app/feed/events.c', "or is_callers(w.actor, w.reach))", "or true)", 'own'],
  ['application: streams of endpoints', 'service/app/feed/stream_loop.c', 'return maker.ptr == NULL || (mine & REACH_ADMIN) != 0 ||', 'return true || (mine & REACH_ADMIN) != 0 ||', 'own'],
  ['application: fields for admins', 'service/app/record/batch.c', 'i < batch->resource->n_fields && !batch->admin; i++', 'i < 0 && !batch->admin; i++', 'sign-in'],
  ['application: an admin by scopes, too', 'service/domain/access.c', '(caller_may(role, scopes, VERB_ADMIN) ? REACH_ADMIN : 0)', '(access_allows(role, VERB_ADMIN) ? REACH_ADMIN : 0)', 'own'],
  ['application: fields for admins, of what comes late', 'service/app/sync/work.c', 'if (bulk->late)', 'if (false)', 'sign-in'],
  ['application: whose an operation is', 'service/app/base/operation.c', '"and is_callers(o.actor, o.reach)"', '""', 'own'],
  ['application: whose an evaluation is', 'service/app/program/evaluations.c', "o.kind = 'evaluation' and \"\n                 \"is_callers(o.actor, o.reach)\"", "o.kind = 'evaluation'\"", 'own'],
  ['application: whose a report is', 'service/app/program/reports.c', '"is_callers(o.actor, o.reach) and o.kind', '"o.kind', 'own'],
  ['application: whose a verification is', 'service/app/trail/audit_verify.c', 'where is_callers(o.actor, o.reach) and "', 'where "', 'own'],
  ['application: whose an import is', 'service/app/transfer/imports.c', 'where is_callers(i.actor, i.reach) "', 'where true "', 'own'],
  ['application: whose an import\'s errors are', 'service/app/transfer/imports.c', 'i.id = $1::uuid and is_callers(i.actor, i.reach)"', 'i.id = $1::uuid"', 'own'],
  ['application: whose an import is to start', 'service/app/transfer/imports.c', '"is_callers(i.actor, i.reach) for update"', '"true for update"', 'own'],
  ['application: stored answers', 'service/app/base/write_once.c', 'if (!access_kept(tx_int(tx, seen, 0, FIRST_LOST), err))', 'if (!access_kept(0, err))', 'concurrency'],
  ['matrix: what members write', 'service/domain/access.c', 'AREAS_ALL & ~(AREA_BIT(AREA_PROFILE) | AREA_BIT(AREA_SALES) |', 'AREAS_ALL & ~(AREA_BIT(AREA_SALES) | AREA_BIT(AREA_SALES) |'],
  ['matrix: auditors write nothing', 'service/domain/access.c', '[ROLE_AUDITOR] = BIT(READ) | BIT(AUDIT)', '[ROLE_AUDITOR] = BIT(READ) | BIT(WRITE) | BIT(AUDIT)', 'access'],
  ['database: rows of an area', GUARD, "'readable_accounts', bit)", "'readable_accounts', -1)"],
  ['database: writing rows of an area', GUARD, "'writable_accounts', bit)", "'writable_accounts', -1)"],
  ['database: rows whose area differs', GUARD, 'in (select r.account_id, r.area from readable_areas() r)', 'in (select r.account_id, r.area from readable_areas() r) or true'],
  ['database: explanation', ACCESS, "      from account_status s\n     where (select current_setting('kamd.scope', true) = 'all' and caller_reads() & (1 << 12) <> 0)\n        or s.account_id = any ((select readable_accounts(1 << 12))::uuid[]);", '      from account_status s;'],
  ['database: sections of a version', PLANS, "where areas >> coalesce(area_number(s.key), area_number('plan')) & 1 = 1", 'where true'],
  ['database: a version by its function', PLANS, "v.version_no = plan_version_content.version_no\n       and areas_of(v.account_id) >> area_number('plan') & 1 = 1", 'v.version_no = plan_version_content.version_no'],
  ['database: what grants take away', ACCESS, '& ~coalesce(bit_or(a.removed), 0))', '& -1)'],
  ['database: access that has not begun', ACCESS, 'from account_access a\n     where a.visible_from <= now() and a.visible_until > now()', 'from account_access a\n     where a.visible_until > now()'],
  ['database: access that is over', ACCESS, 'from account_access a\n     where a.visible_from <= now() and a.visible_until > now()', 'from account_access a\n     where a.visible_from <= now()'],
  ['database: functions of the owner', schema('first'), 'alter default privileges revoke execute on functions from public;', ''],
  ['database: who is an admin', ACCESS, 'caller_reach() >> 41 & 1 = 1 $$', 'caller_reach() >> 17 & 1 = 1 $$', 'own'],
  ['database: who the maker is', ACCESS, "(actor = current_setting('kamd.actor', true)", '(true', 'own'],
  ['database: keys that may less than the maker', ACCESS, 'and reach & ~caller_reach() & ((1::bigint << 41) - 1) = 0)', ')', 'own'],
  ['database: rows that are somebody\'s', GUARD, "call rls_policies(tab, 'own', own, own)", "call rls_policies(tab, 'own', 'true', own)", 'own'],
  ['database: making rows that are somebody\'s', GUARD, "call rls_policies(tab, 'own', own, own)", "call rls_policies(tab, 'own', own, 'true')", 'own'],
  ['database: whose an operation is', schema('program.guards'), "call rls_by_owner('operation', 'is_callers(actor, reach)')", "call rls_by_owner('operation', 'true')", 'own'],
  ...Object.entries(GUARDS).map(([table, topic]) => [`database: ${table}, whose it is`, schema(`${topic}.guards`), `create policy own on ${table} as restrictive`, `create policy own on ${table}`, 'own']),
  ['database: what becomes of endpoints, by webhook', WEBHOOKS, 'or i.siblings is null or', 'or true or', 'own'],
  ['database: whom a test message is sent for', WEBHOOKS, 'and w.deleted_at is null and is_callers(w.actor, w.reach) for key share', 'and w.deleted_at is null for key share', 'own'],
  ['database: whose delivery is sent again', LOOK, 'where w.id = d.endpoint_id and is_callers(w.actor, w.reach)', 'where w.id = d.endpoint_id', 'own'],
  ['database: rights that a stored answer was given with', ACCESS, 'case when reach & ~caller_reach() <> 0 then 1 else 0 end', '0', 'concurrency'],
  ['database: accounts that a stored answer tells of', ACCESS, 'case when a.areas is null then 2', 'case when a.areas is null then 0', 'concurrency'],
  ['database: areas that a stored answer tells of', ACCESS, 'when t.areas::bigint & ~a.areas <> 0 then 1 else 0 end', 'else 0 end', 'concurrency'],
  ['database: records that a stored answer tells of', ACCESS, 'select h.account_id from history h where h.record_id = i.id', 'select h.account_id from history h where false', 'concurrency'],
];

function build() {
  const made = spawnSync('make', ['build', `BUILD=${BUILD}`], { cwd: COPY, encoding: 'utf8' });
  return made.status === 0 ? '' : (made.stdout + made.stderr).split('\n').filter((line) => /error/.test(line)).slice(0, 3).join('\n');
}
function tested(name) {
  const ran = spawnSync('node', ['--test', '--test-reporter=tap', `e2e/${name}.test.mjs`], { cwd: join(COPY, 'tests'), encoding: 'utf8', timeout: 400_000, env: { ...process.env, KAMD_BIN: join(BUILD, 'kamd') }, maxBuffer: 1 << 28 });
  return { passed: ran.status === 0, missed: [...ran.stdout.matchAll(/^not ok \d+ - (.*)/gm)].map(([, test]) => test) };
}

const lost = MUTATIONS.filter(([, file, check]) => readFileSync(join(COPY, file), 'utf8').split(check).length !== 2);
if (lost.length) {
  console.error(lost.map(([name, file]) => `${name}: the check is not in ${file}, once`).join('\n'));
  process.exit(1);
}
if (look) process.exit();

const wanted = MUTATIONS.filter(([name]) => !only.length || only.some((word) => name.includes(word)));
const trouble = [];
const broken = build();
if (broken) throw new Error(broken);
for (const test of new Set(wanted.map(([, , , , one]) => one ?? 'areas'))) {
  const { passed, missed } = tested(test);
  if (!passed) throw new Error(`${test} fails as it is: ${missed.join('; ')}`);
}
for (const [name, file, check, rest, test = 'areas'] of wanted) {
  const path = join(COPY, file), before = readFileSync(path, 'utf8');
  writeFileSync(path, before.replace(check, () => rest));
  const wrong = build();
  const { passed, missed } = wrong ? {} : tested(test);
  writeFileSync(path, before);
  if (wrong) trouble.push(`${name}: does not build: ${wrong}`);
  else if (passed) trouble.push(`${name}: SURVIVED`);
  console.log(`${wrong ? 'no build' : passed ? 'SURVIVED' : 'killed'}  ${name}${missed?.length ? `, by: ${missed[0]}${missed.length > 1 ? ` and ${missed.length - 1} more` : ''}` : ''}`);
}
console.log(`${wanted.length} mutations, ${wanted.length - trouble.length} killed`);
if (trouble.length) {
  console.error(trouble.join('\n'));
  process.exit(1);
}
