-- The audit: who changed which record, and who read what is sensitive, in hash chains that show any edit, deletion,
-- reordering and truncation. Each account has two chains, one of changes and one of reads, so that whoever reads never
-- waits for whoever writes; anchors, signed outside of the database, say from time to time where the chains stood.

-- Trigger of the tables that are chained or anchored: no row changes or goes, not even by a mistake of the owner. A
-- superuser can get around this; audit_breaks() and audit_anchor_broken() find what was changed then.
create or replace function audit_frozen() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end $$;

-- The id under which everything is chained that belongs to no account.
create or replace function audit_nobody() returns uuid
immutable parallel safe language sql as $$ select '00000000-0000-0000-0000-000000000000'::uuid $$;

-- The hash before the first link of each chain: 32 zero bytes.
create or replace function audit_genesis() returns bytea
immutable parallel safe language sql as $$ select decode(repeat('00', 32), 'hex') $$;

-- The text of a link, as bytes: its hash is sha256(prev_hash || audit_text). The text is a JSON array, so that no two
-- records have the same one.
create or replace function audit_text(
    account_id uuid, kind text, seq bigint, at timestamptz, actor text, origin text, request_id text, action text,
    resource text, record_id uuid, version bigint, area smallint, records int, history_id bigint, digest bytea,
    personal jsonb) returns bytea
stable parallel safe language sql as $$
    select convert_to(
        jsonb_build_array(account_id, kind, seq, utc_text(at), actor, origin, request_id, action, resource, record_id,
                          version, area, records, history_id, encode(digest, 'hex'), personal)::text, 'UTF8')
$$;

-- The text of a link that is in the table.
create or replace function audit_text(a audit) returns bytea stable parallel safe language sql as $$
    select audit_text(a.account_id, a.kind, a.seq, a.at, a.actor, a.origin, a.request_id, a.action, a.resource,
                      a.record_id, a.version, a.area, a.records, a.history_id, a.digest, a.personal)
$$;

-- One step of audit_link(): the hash after `record`. `state` is the hash before it, null at the first step.
create or replace function audit_link_next(state bytea, head bytea, record bytea) returns bytea
immutable parallel safe language plpgsql as $$ begin return sha256(coalesce(state, head) || record); end $$;

-- The hashes of links in a row, as a window function: audit_link(head, text) over (order by seq), where `head` is the
-- hash before the first of them.
create or replace aggregate audit_link(bytea, bytea) (sfunc = audit_link_next, stype = bytea);

-- A resource's fields about a person: those with F_PII in the descriptors; a test compares the two.
create or replace function personal_fields(resource text) returns text[] immutable parallel safe language sql as $$
    select case resource when 'contact' then array['given_name', 'family_name', 'email', 'phone', 'linkedin_url']
                         else '{}' end
$$;

-- The digest, in hex, of what a field about a person changed from and to. Once the salt is erased, the digest says
-- nothing any more.
create or replace function audit_personal_digest(salt bytea, field text, value jsonb) returns text
stable parallel safe language sql as $$
    select encode(sha256(salt || convert_to(jsonb_build_array(field, value)::text, 'UTF8')), 'hex')
$$;

-- {field: salted digest} of the fields about a person that changed; null: none did.
create or replace function audit_personal(resource text, changes jsonb, salt bytea) returns jsonb
stable parallel safe language sql as $$
    select jsonb_object_agg(c.key, audit_personal_digest(salt, c.key, c.value))
      from jsonb_each(changes) c
     where c.key = any (personal_fields(resource))
$$;

-- The digest of a history row, which is chained in place of its values. Fields about a person are in it by their salted
-- digests only (`personal`, of audit_personal()).
create or replace function audit_digest(resource text, changes jsonb, personal jsonb) returns bytea
stable parallel safe language sql as $$
    select sha256(convert_to(jsonb_build_array(changes - personal_fields(resource), personal)::text, 'UTF8'))
$$;

-- Chains one row of history, the usual case: short statements instead of the large one of audit_append_changes(). The
-- account's row in account_sequence, where the chain of changes ends, stays locked until the transaction is over.
create or replace function audit_append_change(n history) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
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
    next := sha256(last || audit_text(
        chain, 'change', head.audit_seq + 1, n.at, n.actor, n.origin, n.request_id, n.op, n.resource, n.record_id,
        n.version, n.area, 1, n.id, digest, personal));
    insert into audit (account_id, kind, seq, at, actor, origin, request_id, action, resource, record_id, version, area,
                       history_id, digest, personal, prev_hash, hash)
    values (chain, 'change', head.audit_seq + 1, n.at, n.actor, n.origin, n.request_id, n.op, n.resource, n.record_id,
            n.version, n.area, n.id, digest, personal, last, next);
    update account_sequence s set audit_seq = s.audit_seq + 1, audit_hash = next where s.account_id = chain;
end $$;
revoke execute on function audit_append_change(history) from kamd_app, kamd_worker;

-- Trigger: chains what a statement wrote to history, in the order of its ids, one account after the other. With the
-- planner's settings each row finds its account's sequence and its record's salt by index; a connection plans the
-- statement once, and must not read those tables whole for a few rows. Nested loops are switched on here, as a function
-- whose changes fire this trigger may have switched them off.
create or replace function audit_append_changes() returns trigger
language plpgsql security definer set search_path = public, pg_temp
set enable_nestloop = on set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
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
        perform audit_append_change(one);
        return null;
    end if;
    insert into account_sequence (account_id, last)
    select distinct coalesce(n.account_id, audit_nobody()), 0
      from new_rows n
     where not exists (select from account_sequence s where s.account_id = coalesce(n.account_id, audit_nobody()))
     order by 1
    on conflict do nothing;
    -- One order of locking for everybody, by account, as in event_write().
    perform from account_sequence s
      where s.account_id in (select coalesce(n.account_id, audit_nobody()) from new_rows n)
      order by s.account_id for update;
    insert into audit_salt (record_id, salt)
    select n.record_id, audit_salt_new()
      from (select distinct m.record_id from new_rows m where m.changes ?| personal_fields(m.resource)) n
     order by n.record_id
    on conflict do nothing;
    with fact as (
        select s.account_id as chain, s.audit_seq + row_number() over (partition by s.account_id order by n.id) as seq,
               coalesce(s.audit_hash, audit_genesis()) as head, n.*, p.personal,
               audit_digest(n.resource, n.changes, p.personal) as digest
          from new_rows n
          join account_sequence s on s.account_id = coalesce(n.account_id, audit_nobody())
          left join audit_salt t on t.record_id = n.record_id
         cross join lateral (
             select case when t.salt is not null then audit_personal(n.resource, n.changes, t.salt) end as personal) p
    ), linked as (
        select f.*, audit_link(f.head, audit_text(
                        f.chain, 'change', f.seq, f.at, f.actor, f.origin, f.request_id, f.op, f.resource, f.record_id,
                        f.version, f.area, 1, f.id, f.digest, f.personal)) over w as hash
          from fact f
        window w as (partition by f.chain order by f.seq)
    ), written as (
        insert into audit (account_id, kind, seq, at, actor, origin, request_id, action, resource, record_id, version,
                           area, history_id, digest, personal, prev_hash, hash)
        select l.chain, 'change', l.seq, l.at, l.actor, l.origin, l.request_id, l.op, l.resource, l.record_id,
               l.version, l.area, l.id, l.digest, l.personal,
               coalesce(lag(l.hash) over (partition by l.chain order by l.seq), l.head), l.hash
          from linked l
         order by l.id
    )
    update account_sequence s set audit_seq = l.seq, audit_hash = l.hash
      from (select distinct on (k.chain) k.chain, k.seq, k.hash from linked k order by k.chain, k.seq desc) l
     where s.account_id = l.chain;
    return null;
end $$;
revoke execute on function audit_append_changes() from kamd_app, kamd_worker;

-- Appends to a chain of reads that the caller was shown `records` records of the resource, from one area. Without an
-- account, the chain is that of the plan's account where record_id is a plan, else that of nobody. The caller gets to
-- see the records only once this is committed.
create or replace function audit_append_read(
    account uuid, area int, resource text, record_id uuid, records int default 1) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_variable
declare
    chain uuid := coalesce(
        account,
        case resource when 'plan' then (select p.account_id from plan p where p.id = record_id) end,
        audit_nobody());
    head audit_read_head;
    next bytea;
begin
    insert into audit_read_head values (chain, 0, audit_genesis()) on conflict do nothing;
    select * into head from audit_read_head h where h.account_id = chain for update;
    next := sha256(head.hash || audit_text(
        chain, 'read', head.seq + 1, now(), session_setting('actor'), session_setting('origin'),
        session_setting('request_id'), 'read', resource, record_id, null, area::smallint, records, null, null, null));
    insert into audit (account_id, kind, seq, at, actor, origin, request_id, action, resource, record_id, area, records,
                       prev_hash, hash)
    values (chain, 'read', head.seq + 1, now(), session_setting('actor'), session_setting('origin'),
            session_setting('request_id'), 'read', resource, record_id, area::smallint, records, head.hash, next);
    update audit_read_head h set seq = h.seq + 1, hash = next where h.account_id = chain;
end $$;

-- Appends many reads: [{account_id, area, resource, record_id, records}]. They are sorted by account, so that everybody
-- locks the ends of the chains in one order.
create or replace function audit_append_reads(seen jsonb) returns void language sql as $$
    select audit_append_read(s.account_id, s.area, s.resource, s.record_id, s.records)
      from (select *
              from jsonb_to_recordset(seen) x(account_id uuid, area int, resource text, record_id uuid, records int)
             -- Whoever lacks the area was told the key status, but not why it is so: no read to chain.
             where x.resource <> 'key_status' or areas_of(x.account_id) >> x.area & 1 = 1
             order by x.account_id nulls first, x.resource, x.record_id, x.area) s
$$;

-- A leaf of an anchor as text: which chain, the new links from from_seq to seq, and the hash of the last of them.
create or replace function audit_leaf_text(l audit_leaf) returns text
immutable parallel safe language sql as
$$ select concat_ws(' ', l.account_id, l.kind, l.from_seq, l.seq, encode(l.hash, 'hex')) $$;

-- The root of an anchor, in hex: the hash of its leaves' texts, a line each, by account and kind. While there are few
-- anchors, the planner expects most leaves to be of any one of them, and would read the whole table for a few.
create or replace function audit_root(anchor bigint) returns text
stable set enable_seqscan = off language sql as $$
    select encode(sha256(convert_to(
               coalesce(string_agg(audit_leaf_text(l), e'\n' order by l.account_id, l.kind), ''), 'UTF8')), 'hex')
      from audit_leaf l
     where l.number = anchor
$$;

-- Begins a walk through the audit's new rows, whose last id that was drawn is `drawn`. `next`: up to there, whoever had
-- drawn an id is done, so that no row can come any more. The older of the two transactions counts, as the database may
-- have been restored into another server, where transactions are counted from the beginning.
create or replace function audit_walk_begin(drawn bigint) returns audit_look language sql as $$
    update audit_look l
       set next = case
                  when pg_snapshot_xmin(pg_current_snapshot()) >= pg_current_xact_id() then drawn
                  when pg_snapshot_xmin(pg_current_snapshot()) >= least(l.xid, pg_current_xact_id()) then l.upto
                  else l.settled end,
           reached = l.settled, upto = drawn, xid = pg_current_xact_id(), looked_at = clock_timestamp()
    returning *
$$;
revoke execute on function audit_walk_begin(bigint) from kamd_app;

-- Writes the leaves of an anchor for the chains of the audit's rows with ids behind `after` and up to `last`, as far as
-- no anchor has them yet; returns how many chains these were. "offset 0" has the planner look up the chains' ends one
-- by one; else it reads all of them for the join.
create or replace function audit_leaves_write(anchor bigint, after bigint, last bigint) returns bigint
language plpgsql as $$
declare
    chains bigint;
begin
    with grown as materialized (
        select h.account_id, h.kind, h.anchored + 1 as from_seq, h.seq, h.hash
          from (select distinct a.account_id, a.kind from audit a where a.id > after and a.id <= last) g
         cross join lateral (
             select s.*, coalesce((select d.seq from audit_anchored d
                                    where d.account_id = s.account_id and d.kind = s.kind), 0) as anchored
               from audit_heads s
              where s.account_id = g.account_id and s.kind = g.kind
             offset 0) h
         where h.seq > h.anchored
    ), marked as (
        insert into audit_anchored as d (account_id, kind, seq, number)
        select g.account_id, g.kind, g.seq, anchor from grown g
        on conflict (account_id, kind) do update set seq = excluded.seq, number = excluded.number
    )
    insert into audit_leaf (account_id, kind, number, from_seq, seq, hash)
    select g.account_id, g.kind, anchor, g.from_seq, g.seq, g.hash from grown g;
    get diagnostics chains = row_count;
    return chains;
end $$;
revoke execute on function audit_leaves_write(bigint, bigint, bigint) from kamd_app;

-- Writes the leaves of the next anchor, of `most` chains at most, and returns its body, {anchor_no, at, chains, root,
-- previous}; null: every_ms (ms) have not passed, nothing is new, or another worker is at it. The caller signs a body
-- and calls audit_anchor_write() in the same transaction, and commits also without one: then it is kept how far the
-- walk is. `more`: the walk is not over, and the next call is due at once. A walk goes through the audit's new rows
-- (audit_look says how far), as looking through all chains took 2.5 s with a million of them.
create or replace function audit_anchor_next(every_ms int, most int, out body text, out more boolean)
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    look audit_look;
    before audit_anchor;
    this bigint;
    drawn bigint;
    last bigint;
    chains bigint := 0;
begin
    more := false;
    if not pg_try_advisory_xact_lock(hashtextextended('kamd audit anchor', 0)) then
        return;
    end if;
    select * into look from audit_look;
    -- This comes before the transaction gets its own id: whoever had drawn an id of the audit has an older one.
    drawn := audit_drawn();
    if look.settled = drawn then
        return;
    end if;
    select * into before from audit_anchor a order by a.number desc limit 1;
    if look.reached = look.upto then
        if greatest(before.at, look.looked_at) > clock_timestamp() - make_interval(secs => every_ms / 1000.0) then
            return;
        end if;
        look := audit_walk_begin(drawn);
    end if;
    this := coalesce(before.number, 0) + 1;
    -- Rows that an earlier walk has anchored are passed quickly; ten steps at most, so that no call takes long, however
    -- many such rows there are.
    for n in 1 .. 10 loop
        exit when chains > 0 or look.reached = look.upto;
        select case when count(*) = most then max(w.id) else look.upto end into last
          from (select a.id from audit a where a.id > look.reached and a.id <= look.upto order by a.id limit most) w;
        chains := audit_leaves_write(this, look.reached, last);
        look.reached := last;
    end loop;
    more := look.reached < look.upto;
    update audit_look l set reached = look.reached, settled = case when more then l.settled else l.next end;
    if chains > 0 then
        body := jsonb_build_object(
            'anchor_no', this, 'at', utc_text(clock_timestamp()), 'chains', chains, 'root', audit_root(this),
            'previous', encode(coalesce(sha256(convert_to(before.body, 'UTF8')), audit_genesis()), 'hex'));
    end if;
end $$;
revoke execute on function audit_anchor_next(int, int) from kamd_app;

-- audit_anchor_next() for programs that do not know that function: returns the next anchor's body, of `most` chains at
-- most, or null, but looks through all chains. When an anchor was full, the next is due at once.
create or replace function audit_anchor_make(every_ms int, most int) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    before audit_anchor;
    this bigint;
    chains bigint;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('kamd audit anchor', 0)) then
        return null;
    end if;
    select * into before from audit_anchor a order by a.number desc limit 1;
    if before.at > clock_timestamp() - make_interval(secs => every_ms / 1000.0)
            and (before.body::jsonb ->> 'chains')::int < most then
        return null;
    end if;
    this := coalesce(before.number, 0) + 1;
    with grown as materialized (
        select h.account_id, h.kind, coalesce(a.seq, 0) + 1 as from_seq, h.seq, h.hash
          from audit_heads h
          left join audit_anchored a on a.account_id = h.account_id and a.kind = h.kind
         where h.seq > coalesce(a.seq, 0)
         limit most
    ), marked as (
        insert into audit_anchored as d (account_id, kind, seq, number)
        select g.account_id, g.kind, g.seq, this from grown g
        on conflict (account_id, kind) do update set seq = excluded.seq, number = excluded.number
    )
    insert into audit_leaf (account_id, kind, number, from_seq, seq, hash)
    select g.account_id, g.kind, this, g.from_seq, g.seq, g.hash from grown g;
    get diagnostics chains = row_count;
    if chains = 0 then
        return null;
    end if;
    return jsonb_build_object(
        'anchor_no', this, 'at', utc_text(clock_timestamp()), 'chains', chains, 'root', audit_root(this),
        'previous', encode(coalesce(sha256(convert_to(before.body, 'UTF8')), audit_genesis()), 'hex'));
end $$;
revoke execute on function audit_anchor_make(int, int) from kamd_app;

-- Writes an anchor with its signature, and the key where that is new. `sealed` is the public key once more, as only
-- whoever has the master key can write it: a key that somebody slips in proves nothing.
create or replace function audit_anchor_write(
    body text, key text, public bytea, sealed bytea, signature bytea) returns void
language sql security definer set search_path = public, pg_temp as $$
    insert into audit_key (id, public_key, sealed) values (key, public, sealed) on conflict do nothing;
    insert into audit_anchor (number, at, body, key_id, signature)
    values ((body::jsonb ->> 'anchor_no')::bigint, (body::jsonb ->> 'at')::timestamptz, body, key, signature)
$$;
revoke execute on function audit_anchor_write(text, text, bytea, bytea, bytea) from kamd_app;

-- Names what is wrong with an anchor, beside its signature; null: nothing. 'anchor_missing' is said of the one before.
create or replace function audit_anchor_broken(a audit_anchor) returns text
stable language sql security definer set search_path = public, pg_temp as $$
    select case
           when a.number <> (a.body::jsonb ->> 'anchor_no')::bigint or a.at <> (a.body::jsonb ->> 'at')::timestamptz
           then 'anchor_edited'
           when b.number is null and a.number > 1 then 'anchor_missing'
           when encode(coalesce(sha256(convert_to(b.body, 'UTF8')), audit_genesis()), 'hex')
                <> a.body::jsonb ->> 'previous'
           then 'anchor_edited'
           when (select count(*) from audit_leaf l where l.number = a.number) <> (a.body::jsonb ->> 'chains')::bigint
                or audit_root(a.number) <> a.body::jsonb ->> 'root'
           then 'anchor_leaves' end
      from (values (1)) one
      left join audit_anchor b on b.number = a.number - 1
$$;

-- The history of an account, or, for audit_nobody(), what belongs to no account.
create or replace function audit_history_of(chain uuid) returns table (id bigint, record_id uuid)
stable language sql as $$
    select x.id, x.record_id from history x where x.account_id = chain
    union all
    select x.id, x.record_id from history x where chain = audit_nobody() and x.account_id is null
$$;

-- What is wrong with the history row that a link of a chain is the digest of: it is gone, or not as the digest says; no
-- row: nothing. What an erasure has overwritten must be as the erasure says. This is one query without settings or
-- rights of its own, so that the planner puts it in the place of the call.
create or replace function audit_history_broken(link audit) returns table (what text) stable language sql as $$
    select case when (t.h).id is null then 'history_missing' else 'history_edited' end
      from (values (1)) one
      left join lateral (select x as h from history x where x.id = link.history_id limit 1) t on true
     where (t.h).id is null
        or (link.at, link.actor, link.origin, link.request_id, link.action, link.resource, link.record_id, link.version,
            link.area)
           is distinct from ((t.h).at, (t.h).actor, (t.h).origin, (t.h).request_id, (t.h).op, (t.h).resource,
                             (t.h).record_id, (t.h).version, (t.h).area)
        or (link.digest <> audit_digest((t.h).resource, (t.h).changes, link.personal)
            -- the fields about a person that are digested are those that changed
            or (select coalesce(array_agg(k order by k), '{}') from jsonb_object_keys(coalesce(link.personal, '{}')) k)
               <> (select coalesce(array_agg(k order by k), '{}')
                     from jsonb_object_keys((t.h).changes) k
                    where k = any (personal_fields((t.h).resource)))
            or exists (select from jsonb_each_text(link.personal) p
                        where audit_personal_digest(
                                  (select z.salt from audit_salt z where z.record_id = link.record_id),
                                  p.key, (t.h).changes -> p.key)
                              is distinct from p.value))
           and not erasure_overwrote(t.h)
$$;

-- Every link of an account's chains that does not hold: content, order, end, anchors, and the history that the digests
-- are of. `seq` is null of history without a link.
create or replace function audit_breaks(chain uuid) returns table (kind text, seq bigint, what text)
stable language sql security definer set search_path = public, pg_temp as $$
    with a as materialized (
        select x as link, x.kind, x.seq, x.hash, x.prev_hash, x.history_id, audit_text(x) as said,
               lag(x.seq) over w as seq_before, lag(x.hash) over w as hash_before
          from audit x
         where x.account_id = chain
        window w as (partition by x.kind order by x.seq)
    ), ends as (
        select h.kind, h.seq, h.hash from audit_heads h where h.account_id = chain
    ), lasts as (
        select distinct on (a.kind) a.kind, a.seq, a.hash from a order by a.kind, a.seq desc
    ), loose as materialized (
        select h.id, h.record_id from audit_history_of(chain) h
         where not exists (select from a where a.history_id = h.id)
    ), leaves as (
        select l.*, lag(l.seq) over (partition by l.kind order by l.number) as seq_before
          from audit_leaf l
         where l.account_id = chain
    )
    select a.kind, coalesce(a.seq_before, 0) + 1, 'missing'
      from a where a.seq <> coalesce(a.seq_before, 0) + 1
    union all
    select a.kind, a.seq, 'reordered'
      from a where a.seq = coalesce(a.seq_before, 0) + 1 and a.prev_hash <> coalesce(a.hash_before, audit_genesis())
    union all
    select a.kind, a.seq, 'edited' from a where a.hash <> sha256(a.prev_hash || a.said)
    union all
    select e.kind, coalesce(l.seq, 0) + 1, 'truncated'
      from ends e left join lasts l on l.kind = e.kind where e.seq > coalesce(l.seq, 0)
    union all
    select l.kind, coalesce(e.seq, 0) + 1, 'beyond_end'
      from lasts l left join ends e on e.kind = l.kind where l.seq > coalesce(e.seq, 0)
    union all
    select l.kind, l.seq, 'end_differs'
      from lasts l join ends e on e.kind = l.kind and e.seq = l.seq where e.hash <> l.hash
    union all
    select 'change', 1, 'missing'
      from account c
     where c.id = chain and not exists (select from a where a.kind = 'change') and not exists (select from ends)
    union all
    select l.kind, l.seq, case when a.seq is null then 'truncated' else 'rewritten' end
      from leaves l left join a on a.kind = l.kind and a.seq = l.seq where a.hash is distinct from l.hash
    union all
    select l.kind, coalesce(l.seq_before, 0) + 1, 'anchor_missing'
      from leaves l where l.from_seq <> coalesce(l.seq_before, 0) + 1
    union all
    select d.kind, d.seq, 'anchor_missing'
      from audit_anchored d
     where d.account_id = chain and not exists (select from leaves l where l.kind = d.kind and l.seq = d.seq)
    union all
    select 'change', a.seq, h.what
      from a cross join lateral audit_history_broken(a.link) h where a.history_id is not null
    union all
    select 'change', null, 'history_unchained'
      from loose l
     -- A row whose record was with another account then has its link in that account's chain.
     where (select count(*) from audit o where o.record_id = l.record_id and o.history_id = l.id) = 0
$$;
revoke execute on function audit_breaks(uuid) from kamd_app;

-- Verifies an account's chains: {account_id, valid, changes, reads, anchored_changes, anchored_reads, broken}. changes
-- and reads count the links; anchored_changes and anchored_reads are the numbers of the last links that are anchored.
-- `broken` is the first link that does not hold, {account_id, chain, seq, problem, resource, record_id, anchor_no}, or
-- null. Of what belongs to no account, account_id is null.
create or replace function audit_verify(chain uuid) returns jsonb
stable language sql security definer set search_path = public, pg_temp as $$
    select jsonb_build_object(
               'account_id', nullif(chain, audit_nobody()), 'valid', b.what is null,
               'changes', n.changes, 'reads', n.reads,
               'anchored_changes', coalesce((select d.seq from audit_anchored d
                                              where d.account_id = chain and d.kind = 'change'), 0),
               'anchored_reads', coalesce((select d.seq from audit_anchored d
                                            where d.account_id = chain and d.kind = 'read'), 0),
               'broken', case when b.what is not null then jsonb_build_object(
                   'account_id', nullif(chain, audit_nobody()), 'chain', b.kind, 'seq', b.seq, 'problem', b.what,
                   'resource', b.resource, 'record_id', b.record_id, 'anchor_no', null) end)
      from (select count(*) filter (where a.kind = 'change') as changes,
                   count(*) filter (where a.kind = 'read') as reads
              from audit a
             where a.account_id = chain) n
      left join lateral (
          select x.*, a.resource, a.record_id
            from audit_breaks(chain) x
            left join audit a on a.account_id = chain and a.kind = x.kind and a.seq = x.seq
           order by x.seq nulls last, x.kind, x.what
           limit 1) b on true
$$;

-- Verifies the next `most` chains behind the id `after` (null: from the first), by id: of the accounts that there are,
-- and of ids that have a chain without an account. `broken` is null where all links hold. The worker adds up.
create or replace function audit_verify_some(after uuid, most int)
returns table (account_id uuid, changes bigint, reads bigint, broken jsonb)
stable language sql security definer set search_path = public, pg_temp as $$
    select c.id, (v.doc ->> 'changes')::bigint, (v.doc ->> 'reads')::bigint, nullif(v.doc -> 'broken', 'null')
      from (select u.id
              from ((select a.id from account a
                      where after is null or a.id > after order by a.id limit most)
                    union
                    (select s.account_id from account_sequence s
                      where after is null or s.account_id > after order by s.account_id limit most)
                    union
                    (select d.account_id from audit_anchored d
                      where after is null or d.account_id > after order by d.account_id limit most)
                    union
                    (select r.account_id from audit_read_head r
                      where after is null or r.account_id > after order by r.account_id limit most)) u
             order by u.id
             limit most) c
     cross join lateral (select audit_verify(c.id) as doc) v
$$;
revoke execute on function audit_verify_some(uuid, int) from kamd_app;

-- Where each chain ends: the number and the hash of its last link. The chain of changes ends beside the account's count
-- of events, so that one lock serves both; the chain of reads ends in a table of its own.
create or replace view audit_heads as
    select s.account_id, 'change' as kind, s.audit_seq as seq, s.audit_hash as hash
      from account_sequence s
     where s.audit_seq > 0
    union all
    select r.account_id, 'read', r.seq, r.hash from audit_read_head r where r.seq > 0;
revoke all on audit_heads from kamd_app, kamd_worker;
