-- Audit: who did what to which record, and who read what is sensitive, in hash chains that show any edit, deletion, reordering and truncation. Each account has two
-- chains, one of changes and one of reads (so that who reads never waits for who writes); what has no account has them under the id of nobody, 0. The digest of a
-- history row is chained, not its values; of values about a person only salted digests, whose salt can be erased. Kept for good, as history is.
-- hash = sha256(prev_hash || audit_text), where the first prev_hash of a chain is 32 zero bytes.

create table audit (
    account_id uuid not null, kind text not null check (kind in ('change', 'read')), seq bigint not null check (seq > 0),
    id bigint generated always as identity, at timestamptz not null,
    actor text, origin text, request_id text, action text not null, resource text not null, record_id uuid, version bigint, area smallint not null,
    records int not null default 1, -- how many of that resource one request showed
    history_id bigint,              -- the row that the digest is of
    digest bytea, personal jsonb,   -- {field: salted digest}, part of the digest
    prev_hash bytea not null, hash bytea not null,
    primary key (account_id, kind, seq)
);
create index audit_at_idx on audit (at, id);
create index audit_actor_idx on audit (actor, at, id);
create index audit_record_id_idx on audit (record_id);
call protect('audit', 'account_id');
call protect_areas('audit', 'area');
revoke insert, update on audit from kamd_app, kamd_worker;

-- Where the chain of changes ends stands beside the account's count of events: one lock for both, taken by every writer anyway.
alter table account_sequence add column audit_seq bigint not null default 0, add column audit_hash bytea;
create table audit_read_head (account_id uuid primary key, seq bigint not null, hash bytea not null) with (fillfactor = 50);
call protect('audit_read_head', 'account_id');
-- Erasing a person's salt leaves digests that say nothing any more.
create table audit_salt (record_id uuid primary key, salt bytea not null);
revoke all on audit_read_head, audit_salt from kamd_app, kamd_worker;

-- Nobody changes what is chained, not even by mistake of the owner; a superuser can, and is found.
create function audit_frozen() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger audit_frozen before update or delete or truncate on audit for each statement execute function audit_frozen();

create function audit_nobody() returns uuid immutable parallel safe language sql as $$ select '00000000-0000-0000-0000-000000000000'::uuid $$;
create function audit_genesis() returns bytea immutable parallel safe language sql as $$ select decode(repeat('00', 32), 'hex') $$;

-- What is hashed: a JSON array, so that no two records have the same text.
create function audit_text(account_id uuid, kind text, seq bigint, at timestamptz, actor text, origin text, request_id text, action text, resource text, record_id uuid,
                           version bigint, area smallint, records int, history_id bigint, digest bytea, personal jsonb) returns bytea stable parallel safe language sql as $$
    select convert_to(jsonb_build_array(account_id, kind, seq, utc_text(at), actor, origin, request_id, action, resource, record_id,
                                        version, area, records, history_id, encode(digest, 'hex'), personal)::text, 'UTF8')
$$;
create function audit_text(a audit) returns bytea stable parallel safe language sql as $$
    select audit_text(a.account_id, a.kind, a.seq, a.at, a.actor, a.origin, a.request_id, a.action, a.resource, a.record_id,
                      a.version, a.area, a.records, a.history_id, a.digest, a.personal)
$$;
create function audit_link_next(state bytea, head bytea, record bytea) returns bytea immutable parallel safe language plpgsql as $$ begin return sha256(coalesce(state, head) || record); end $$;
create aggregate audit_link(bytea, bytea) (sfunc = audit_link_next, stype = bytea);

-- Fields about a person: F_PII in the descriptors; a test compares the two.
create function personal_fields(resource text) returns text[] immutable parallel safe language sql as $$
    select case resource when 'contact' then array['given_name', 'family_name', 'email', 'phone', 'linkedin_url'] else '{}' end
$$;
create function audit_personal_digest(salt bytea, field text, value jsonb) returns text stable parallel safe language sql as $$
    select encode(sha256(salt || convert_to(jsonb_build_array(field, value)::text, 'UTF8')), 'hex')
$$;
create function audit_personal(resource text, changes jsonb, salt bytea) returns jsonb stable parallel safe language sql as $$
    select jsonb_object_agg(c.key, audit_personal_digest(salt, c.key, c.value)) from jsonb_each(changes) c where c.key = any (personal_fields(resource))
$$;
create function audit_digest(resource text, changes jsonb, personal jsonb) returns bytea stable parallel safe language sql as $$
    select sha256(convert_to(jsonb_build_array(changes - personal_fields(resource), personal)::text, 'UTF8'))
$$;

create function audit_salt_new() returns bytea volatile language sql as $$ select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) $$;

-- One row, the usual case: three short statements instead of one large.
create function audit_history_one(n history) returns void language plpgsql security definer set search_path = public, pg_temp as $$
declare
    chain uuid := coalesce(n.account_id, audit_nobody());
    head account_sequence;
    salt bytea;
    personal jsonb;
    digest bytea;
    last bytea;
    next bytea;
begin
    select * into head from account_sequence s where s.account_id = chain for update;
    if not found then
        insert into account_sequence (account_id, last) values (chain, 0) on conflict do nothing;
        select * into head from account_sequence s where s.account_id = chain for update;
    end if;
    if n.changes ?| personal_fields(n.resource) then
        insert into audit_salt values (n.record_id, audit_salt_new()) on conflict do nothing;
        select t.salt into salt from audit_salt t where t.record_id = n.record_id;
        personal := audit_personal(n.resource, n.changes, salt);
    end if;
    last := coalesce(head.audit_hash, audit_genesis());
    digest := audit_digest(n.resource, n.changes, personal);
    next := sha256(last || audit_text(chain, 'change', head.audit_seq + 1, n.at, n.actor, n.origin, n.request_id, n.op, n.resource, n.record_id,
                                      n.version, n.area, 1, n.id, digest, personal));
    insert into audit (account_id, kind, seq, at, actor, origin, request_id, action, resource, record_id, version, area, history_id, digest, personal, prev_hash, hash)
    values (chain, 'change', head.audit_seq + 1, n.at, n.actor, n.origin, n.request_id, n.op, n.resource, n.record_id, n.version, n.area, n.id, digest, personal, last, next);
    update account_sequence s set audit_seq = s.audit_seq + 1, audit_hash = next where s.account_id = chain;
end $$;
-- Chains what was written to history, in the order of its ids, one account after the other.
create function audit_history() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    rows bigint;
    one history;
begin
    select count(*) into rows from new_rows;
    if rows = 0 then
        return null;
    end if;
    if rows = 1 then
        select * into one from new_rows;
        perform audit_history_one(one);
        return null;
    end if;
    insert into account_sequence (account_id, last)
    select distinct coalesce(n.account_id, audit_nobody()), 0 from new_rows n
     where not exists (select from account_sequence s where s.account_id = coalesce(n.account_id, audit_nobody())) order by 1 on conflict do nothing;
    -- One order of locking for everybody, as in emit().
    perform from account_sequence s where s.account_id in (select coalesce(n.account_id, audit_nobody()) from new_rows n) order by s.account_id for update;
    insert into audit_salt (record_id, salt)
    select n.record_id, audit_salt_new() from (select distinct m.record_id from new_rows m where m.changes ?| personal_fields(m.resource)) n order by n.record_id on conflict do nothing;
    with fact as (
        select s.account_id as chain, s.audit_seq + row_number() over (partition by s.account_id order by n.id) as seq, coalesce(s.audit_hash, audit_genesis()) as head,
               n.*, p.personal, audit_digest(n.resource, n.changes, p.personal) as digest
          from new_rows n join account_sequence s on s.account_id = coalesce(n.account_id, audit_nobody())
          left join audit_salt t on t.record_id = n.record_id
         cross join lateral (select case when t.salt is not null then audit_personal(n.resource, n.changes, t.salt) end as personal) p
    ), linked as (
        select f.*, audit_link(f.head, audit_text(f.chain, 'change', f.seq, f.at, f.actor, f.origin, f.request_id, f.op, f.resource, f.record_id,
                                                  f.version, f.area, 1, f.id, f.digest, f.personal)) over w as hash
          from fact f window w as (partition by f.chain order by f.seq)
    ), written as (
        insert into audit (account_id, kind, seq, at, actor, origin, request_id, action, resource, record_id, version, area, history_id, digest, personal, prev_hash, hash)
        select l.chain, 'change', l.seq, l.at, l.actor, l.origin, l.request_id, l.op, l.resource, l.record_id, l.version, l.area, l.id, l.digest, l.personal,
               coalesce(lag(l.hash) over (partition by l.chain order by l.seq), l.head), l.hash
          from linked l order by l.id
    )
    update account_sequence s set audit_seq = l.seq, audit_hash = l.hash
      from (select distinct on (k.chain) k.chain, k.seq, k.hash from linked k order by k.chain, k.seq desc) l where s.account_id = l.chain;
    return null;
end $$;
revoke execute on function audit_history(), audit_history_one(history) from kamd_app, kamd_worker;
create trigger audit_history after insert on history referencing new table as new_rows for each statement execute function audit_history();

-- What was written before there was an audit is chained as it stands: nobody can say more of it.
create table history_before (like history);
create trigger audit_history after insert on history_before referencing new table as new_rows for each statement execute function audit_history();
insert into history_before select * from history;
drop table history_before;

-- What has a history of its own from now on: settings and keys, which are not resources. Arguments: resource, key column, columns that are left out.
create function log_setting() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    left_out text[] := string_to_array(tg_argv[2], ',') || array['id', 'account_id', 'created_at'];
    before jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) else '{}' end;
    after jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) else '{}' end;
    rec jsonb := before || after;
    key text := rec ->> tg_argv[1];
    changes jsonb := case tg_op when 'DELETE' then (select coalesce(jsonb_object_agg(b.key, jsonb_build_array(b.value, null)), '{}') from jsonb_each(before - left_out) b)
                                else changed_fields(before - left_out, after - left_out) end;
begin
    if changes <> '{}' then
        insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes)
        values ((rec ->> 'account_id')::uuid, tg_argv[0],
                case when key ~ '^[0-9a-f]{8}-[0-9a-f]{4}-' then key::uuid else uuid_generate_v5('6f1f1c0e-7c1b-4d0a-9d53-6b616d640001', tg_argv[0] || ':' || key) end,
                coalesce((rec ->> 'version')::bigint, 0), case tg_op when 'INSERT' then 'created' when 'UPDATE' then 'updated' else 'deleted' end,
                context('actor'), context('origin'), context('request_id'), changes);
    end if;
    return null;
end $$;
create trigger log_setting after insert or update or delete on api_key for each row execute function log_setting('api_key', 'id', 'hash,last_used_at');
create trigger log_setting after insert or update or delete on program for each row execute function log_setting('program', 'one', 'last_full_evaluation_at');
create trigger log_setting after insert or update or delete on program_settings for each row execute function log_setting('program_settings', 'one', '');
create trigger log_setting after insert or update or delete on program_rate for each row execute function log_setting('rate', 'currency_code', '');
create trigger log_setting after insert or update or delete on criteria for each row execute function log_setting('criteria', 'version', '');
create trigger log_setting after insert or update or delete on plan_template for each row execute function log_setting('plan_template', 'version', 'sections');
create trigger log_setting after insert or update or delete on webhook_key for each row execute function log_setting('webhook_key', 'number', 'sealed');
create trigger log_setting after insert or update or delete on webhook_secret for each row execute function log_setting('webhook_secret', 'id', 'sealed');
create trigger log_setting after insert or update or delete on key_status_history for each row
    execute function log_setting('key_status', 'id', 'at,actor,score,score_before,score_rank,contributions,contributions_before');

-- These are for whoever sees all accounts.
create policy settings on history as restrictive for select to kamd_app using (
    resource not in ('api_key', 'program', 'program_settings', 'rate', 'criteria', 'plan_template', 'webhook_key', 'webhook_secret') or (select current_setting('kamd.scope', true)) = 'all');

-- ---- reads ----

-- Appends to an account's chain of reads; what stands for the account may be a plan of it. What the caller reads meanwhile is answered only if this is committed.
create function audit_read(account uuid, area int, resource text, record_id uuid, records int default 1) returns void language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_variable
declare
    chain uuid := coalesce(account, case resource when 'plan' then (select p.account_id from plan p where p.id = record_id) end, audit_nobody());
    head audit_read_head;
    next bytea;
begin
    insert into audit_read_head values (chain, 0, audit_genesis()) on conflict do nothing;
    select * into head from audit_read_head h where h.account_id = chain for update;
    next := sha256(head.hash || audit_text(chain, 'read', head.seq + 1, now(), context('actor'), context('origin'), context('request_id'), 'read', resource, record_id,
                                           null, area::smallint, records, null, null, null));
    insert into audit (account_id, kind, seq, at, actor, origin, request_id, action, resource, record_id, area, records, prev_hash, hash)
    values (chain, 'read', head.seq + 1, now(), context('actor'), context('origin'), context('request_id'), 'read', resource, record_id, area::smallint, records, head.hash, next);
    update audit_read_head h set seq = h.seq + 1, hash = next where h.account_id = chain;
end $$;
-- Many at once, in one order of locking: [{account_id, area, resource, record_id, records}].
create function audit_reads(seen jsonb) returns void language sql as $$
    select audit_read(s.account_id, s.area, s.resource, s.record_id, s.records)
      from (select * from jsonb_to_recordset(seen) x(account_id uuid, area int, resource text, record_id uuid, records int)
             where x.resource <> 'key_status' or areas_of(x.account_id) >> x.area & 1 = 1 -- others are told the status without its why
             order by x.account_id nulls first, x.resource, x.record_id, x.area) s
$$;

-- ---- erasure ----

-- Overwrites what history says of a person, deletes the salt, and says so in the chain.
create function history_erase(resource text, record uuid) returns void language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_variable
declare
    account uuid;
begin
    select h.account_id into account from history h where h.record_id = record order by h.id desc limit 1;
    update history h
       set changes = h.changes || (select jsonb_object_agg(f, '[null, null]'::jsonb) from unnest(personal_fields(resource)) f where h.changes ? f)
     where h.record_id = record and h.resource = resource and h.changes ?| personal_fields(resource);
    delete from audit_salt t where t.record_id = record;
    insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes, area)
    values (account, resource, record, 0, 'erased', context('actor'), context('origin'), context('request_id'), '{}', resource_area(resource));
end $$;
revoke execute on function history_erase(text, uuid) from kamd_app;
alter table history drop constraint history_op_check,
    add constraint history_op_check check (op in ('created', 'updated', 'deleted', 'restored', 'merged', 'erased'));

-- ---- anchors ----

-- What is signed outside of the database: where every chain stood that had grown since the anchor before. body = {anchor_no, at, chains, root, previous}: root is the hash of
-- the leaves' texts, previous the hash of the body before.
-- `sealed` is the public key once more, as only who has the master key can write it: a key that somebody slips in proves nothing.
create table audit_key (id text primary key, public_key bytea not null, sealed bytea not null, created_at timestamptz not null default now());
create table audit_anchor (number bigint primary key, at timestamptz not null, body text not null, key_id text not null references audit_key, signature bytea not null);
create table audit_leaf (
    account_id uuid not null, kind text not null, number bigint not null, from_seq bigint not null, seq bigint not null, hash bytea not null,
    primary key (account_id, kind, number)
);
create index audit_leaf_number_idx on audit_leaf (number);
call protect('audit_leaf', 'account_id');
revoke insert, update on audit_key, audit_anchor, audit_leaf from kamd_app, kamd_worker;
grant update (sealed) on audit_key to kamd_worker;
create trigger audit_frozen before update or delete or truncate on audit_anchor for each statement execute function audit_frozen();
create trigger audit_frozen before update or delete or truncate on audit_leaf for each statement execute function audit_frozen();
-- How far each chain is anchored: saves looking for its last leaf.
create table audit_anchored (account_id uuid not null, kind text not null, seq bigint not null, number bigint not null, primary key (account_id, kind)) with (fillfactor = 50);
call protect('audit_anchored', 'account_id');
revoke all on audit_anchored from kamd_app, kamd_worker;
grant select on audit_anchored to kamd_worker;

create function audit_leaf_text(l audit_leaf) returns text immutable parallel safe language sql as
$$ select concat_ws(' ', l.account_id, l.kind, l.from_seq, l.seq, encode(l.hash, 'hex')) $$;
create function audit_root(anchor bigint) returns text stable language sql as $$
    select encode(sha256(convert_to(coalesce(string_agg(audit_leaf_text(l), e'\n' order by l.account_id, l.kind), ''), 'UTF8')), 'hex') from audit_leaf l where l.number = anchor
$$;
create view audit_heads as
    select s.account_id, 'change' as kind, s.audit_seq as seq, s.audit_hash as hash from account_sequence s where s.audit_seq > 0
    union all select r.account_id, 'read', r.seq, r.hash from audit_read_head r where r.seq > 0;
revoke all on audit_heads from kamd_app, kamd_worker;

-- The next anchor's body, of `most` chains; null: it is not time, nothing is new, or another worker is at it. Its caller signs it and calls audit_anchor_write() in the
-- same transaction. After one that was full the next is due at once.
create function audit_anchor_make(every_ms int, most int) returns text language plpgsql security definer set search_path = public, pg_temp as $$
declare
    before audit_anchor;
    this bigint;
    chains bigint;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('kamd audit anchor', 0)) then
        return null;
    end if;
    select * into before from audit_anchor a order by a.number desc limit 1;
    if before.at > clock_timestamp() - make_interval(secs => every_ms / 1000.0) and (before.body::jsonb ->> 'chains')::int < most then
        return null;
    end if;
    this := coalesce(before.number, 0) + 1;
    with grown as materialized (
        select h.account_id, h.kind, coalesce(a.seq, 0) + 1 as from_seq, h.seq, h.hash
          from audit_heads h left join audit_anchored a on a.account_id = h.account_id and a.kind = h.kind where h.seq > coalesce(a.seq, 0)
         limit most
    ), marked as (
        insert into audit_anchored as d (account_id, kind, seq, number) select g.account_id, g.kind, g.seq, this from grown g
        on conflict (account_id, kind) do update set seq = excluded.seq, number = excluded.number
    )
    insert into audit_leaf (account_id, kind, number, from_seq, seq, hash) select g.account_id, g.kind, this, g.from_seq, g.seq, g.hash from grown g;
    get diagnostics chains = row_count;
    if chains = 0 then
        return null;
    end if;
    return jsonb_build_object('anchor_no', this, 'at', utc_text(clock_timestamp()), 'chains', chains, 'root', audit_root(this),
                              'previous', encode(coalesce(sha256(convert_to(before.body, 'UTF8')), audit_genesis()), 'hex'));
end $$;
create function audit_anchor_write(body text, key text, public bytea, sealed bytea, signature bytea) returns void language sql security definer set search_path = public, pg_temp as $$
    insert into audit_key (id, public_key, sealed) values (key, public, sealed) on conflict do nothing;
    insert into audit_anchor (number, at, body, key_id, signature)
    values ((body::jsonb ->> 'anchor_no')::bigint, (body::jsonb ->> 'at')::timestamptz, body, key, signature)
$$;
revoke execute on function audit_anchor_make(int, int), audit_anchor_write(text, text, bytea, bytea, bytea) from kamd_app;

-- ---- verification ----

-- What is wrong with an anchor, beside its signature; null: nothing.
create function audit_anchor_broken(a audit_anchor) returns text stable language sql security definer set search_path = public, pg_temp as $$
    select case when a.number <> (a.body::jsonb ->> 'anchor_no')::bigint or a.at <> (a.body::jsonb ->> 'at')::timestamptz then 'anchor_edited'
                when b.number is null and a.number > 1 then 'anchor_missing'
                when encode(coalesce(sha256(convert_to(b.body, 'UTF8')), audit_genesis()), 'hex') <> a.body::jsonb ->> 'previous' then 'anchor_edited'
                when (select count(*) from audit_leaf l where l.number = a.number) <> (a.body::jsonb ->> 'chains')::bigint or audit_root(a.number) <> a.body::jsonb ->> 'root' then 'anchor_leaves' end
      from (values (1)) one left join audit_anchor b on b.number = a.number - 1
$$;

-- Every link of an account's chains that does not hold: content, order, end, anchors, and the history that the digests are of.
create function audit_breaks(chain uuid) returns table (kind text, seq bigint, what text) stable language sql security definer set search_path = public, pg_temp as $$
    with a as materialized (
        select x.*, audit_text(x) as said, lag(x.seq) over w as seq_before, lag(x.hash) over w as hash_before
          from audit x where x.account_id = chain window w as (partition by x.kind order by x.seq)
    ), ends as (
        select h.kind, h.seq, h.hash from audit_heads h where h.account_id = chain
    ), lasts as (
        select distinct on (a.kind) a.kind, a.seq, a.hash from a order by a.kind, a.seq desc
    ), told as (
        select a.*, h.h, case when a.personal is not null then (select t.salt from audit_salt t where t.record_id = a.record_id) end as salt
          from a left join lateral (select x as h from history x where x.id = a.history_id limit 1) h on true where a.history_id is not null
    ), loose as materialized (
        select h.id, h.record_id from (select x.id, x.record_id from history x where x.account_id = chain
                                       union all select x.id, x.record_id from history x where chain = audit_nobody() and x.account_id is null) h
         where not exists (select from a where a.history_id = h.id)
    ), leaves as (
        select l.*, lag(l.seq) over (partition by l.kind order by l.number) as seq_before from audit_leaf l where l.account_id = chain
    )
    select a.kind, coalesce(a.seq_before, 0) + 1, 'missing' from a where a.seq <> coalesce(a.seq_before, 0) + 1
    union all select a.kind, a.seq, 'reordered' from a where a.seq = coalesce(a.seq_before, 0) + 1 and a.prev_hash <> coalesce(a.hash_before, audit_genesis())
    union all select a.kind, a.seq, 'edited' from a where a.hash <> sha256(a.prev_hash || a.said)
    union all select e.kind, coalesce(l.seq, 0) + 1, 'truncated' from ends e left join lasts l on l.kind = e.kind where e.seq > coalesce(l.seq, 0)
    union all select l.kind, coalesce(e.seq, 0) + 1, 'beyond_end' from lasts l left join ends e on e.kind = l.kind where l.seq > coalesce(e.seq, 0)
    union all select l.kind, l.seq, 'end_differs' from lasts l join ends e on e.kind = l.kind and e.seq = l.seq where e.hash <> l.hash
    union all select 'change', 1, 'missing' from account c where c.id = chain and not exists (select from a where a.kind = 'change') and not exists (select from ends)
    union all select l.kind, l.seq, case when a.seq is null then 'truncated' else 'rewritten' end
                from leaves l left join a on a.kind = l.kind and a.seq = l.seq where a.hash is distinct from l.hash
    union all select l.kind, coalesce(l.seq_before, 0) + 1, 'anchor_missing' from leaves l where l.from_seq <> coalesce(l.seq_before, 0) + 1
    union all select d.kind, d.seq, 'anchor_missing' from audit_anchored d
               where d.account_id = chain and not exists (select from leaves l where l.kind = d.kind and l.seq = d.seq)
    union all select 'change', t.seq, 'history_missing' from told t where (t.h).id is null
    union all select 'change', t.seq, 'history_edited' from told t
               where (t.h).id is not null and ((t.at, t.actor, t.origin, t.request_id, t.action, t.resource, t.record_id, t.version, t.area)
                     is distinct from ((t.h).at, (t.h).actor, (t.h).origin, (t.h).request_id, (t.h).op, (t.h).resource, (t.h).record_id, (t.h).version, (t.h).area)
                  or t.digest <> audit_digest((t.h).resource, (t.h).changes, t.personal)
                  or (select coalesce(array_agg(k order by k), '{}') from jsonb_object_keys(coalesce(t.personal, '{}')) k)
                     <> (select coalesce(array_agg(k order by k), '{}') from jsonb_object_keys((t.h).changes) k where k = any (personal_fields((t.h).resource)))
                  or exists (select from jsonb_each_text(t.personal) p
                              where case when (t.h).changes -> p.key = '[null, null]' and t.salt is null
                                         then not exists (select from a e where e.record_id = t.record_id and e.action = 'erased')
                                         else audit_personal_digest(t.salt, p.key, (t.h).changes -> p.key) is distinct from p.value end))
    union all select 'change', null, 'history_unchained' from loose l
               where (select count(*) from audit o where o.record_id = l.record_id and o.history_id = l.id) = 0 -- of a record that was with another account then
$$;
revoke execute on function audit_breaks(uuid) from kamd_app;
-- {account_id, valid, changes, reads, anchored_changes, anchored_reads, broken}: broken is the first link that does not hold.
create function audit_verify(chain uuid) returns jsonb stable language sql security definer set search_path = public, pg_temp as $$
    select jsonb_build_object('account_id', nullif(chain, audit_nobody()), 'valid', b.what is null, 'changes', n.changes, 'reads', n.reads,
               'anchored_changes', coalesce((select d.seq from audit_anchored d where d.account_id = chain and d.kind = 'change'), 0),
               'anchored_reads', coalesce((select d.seq from audit_anchored d where d.account_id = chain and d.kind = 'read'), 0),
               'broken', case when b.what is not null then jsonb_build_object('account_id', nullif(chain, audit_nobody()), 'chain', b.kind, 'seq', b.seq, 'problem', b.what,
                             'resource', b.resource, 'record_id', b.record_id, 'anchor_no', null) end)
      from (select count(*) filter (where a.kind = 'change') as changes, count(*) filter (where a.kind = 'read') as reads from audit a where a.account_id = chain) n
      left join lateral (select x.*, a.resource, a.record_id from audit_breaks(chain) x left join audit a on a.account_id = chain and a.kind = x.kind and a.seq = x.seq
                          order by x.seq nulls last, x.kind, x.what limit 1) b on true
$$;

-- The next of all chains after `after`, and what is broken there; the worker adds up.
create function audit_verify_some(after uuid, most int) returns table (account_id uuid, changes bigint, reads bigint, broken jsonb) stable language sql security definer set search_path = public, pg_temp as $$
    select c.id, (v.doc ->> 'changes')::bigint, (v.doc ->> 'reads')::bigint, nullif(v.doc -> 'broken', 'null')
      from (select u.id from (
                (select a.id from account a where after is null or a.id > after order by a.id limit most)
                union (select s.account_id from account_sequence s where after is null or s.account_id > after order by s.account_id limit most)
                union (select d.account_id from audit_anchored d where after is null or d.account_id > after order by d.account_id limit most)
                union (select r.account_id from audit_read_head r where after is null or r.account_id > after order by r.account_id limit most)) u
             order by u.id limit most) c
      cross join lateral (select audit_verify(c.id) as doc) v
$$;
revoke execute on function audit_verify_some(uuid, int) from kamd_app;
