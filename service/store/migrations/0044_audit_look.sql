-- What has grown since the anchor before is found by the new rows of the audit, and not by a look through all chains,
-- which idle workers took once a second: 0.15 s with 150,000 chains, 2.5 s with a million.
-- no-transaction
-- min-binary: 29

-- A walk goes through the rows up to `upto`, the newest when it begins, at once or in several anchors. Ids are drawn
-- before the commit, so a row may come to be seen behind a walk: each one begins again at `settled`, which moves up to
-- where the walk before ended only once everybody who had drawn an id up to there was done.
create table if not exists audit_look (
    one boolean primary key default true check (one),
    settled bigint not null, -- nobody can commit a row up to here any more, and all are anchored
    next bigint not null,    -- what `settled` is to be at the end of this walk
    reached bigint not null, -- the walk is here; `upto`: it is over
    upto bigint not null,
    xid xid8 not null,       -- newer than that of anybody who has drawn an id up to `upto`
    looked_at timestamptz not null
) with (fillfactor = 50);
revoke all on audit_look from kamd_app, kamd_worker;
create or replace function audit_drawn() returns bigint volatile language sql as
$$ select case when s.is_called then s.last_value else 0 end from audit_id_seq s $$;
revoke execute on function audit_drawn() from kamd_app, kamd_worker;

insert into audit_look select true, d, d, d, d, '0', '-infinity' from audit_drawn() d on conflict do nothing;

-- It waits for everybody who is writing: behind it, all rows up to what is noted above can be seen.
drop index concurrently if exists audit_id_idx;
create index concurrently audit_id_idx on audit (id);

update audit_look l set settled = o.id, next = o.id, reached = o.id, upto = o.id
  from (select least(l.settled, min(a.id) - 1) as id
          from audit_look l cross join audit_heads h
          left join audit_anchored d on d.account_id = h.account_id and d.kind = h.kind
          join audit a on a.account_id = h.account_id and a.kind = h.kind and a.seq = coalesce(d.seq, 0) + 1
         where h.seq > coalesce(d.seq, 0) group by l.settled) o;

-- The next anchor's body, of `most` chains at most; null: it is not time, nothing is new, or another worker is at it.
-- Its caller signs it and calls audit_anchor_write() in the same transaction, and commits also when there is none: then
-- it is known how far somebody has looked. `more`: the walk is not over, the next call is due at once.
-- audit_anchor_make() stays for programs that know nothing of this: it looks through all chains.
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
    drawn := audit_drawn(); -- and only then this transaction gets its id: who had drawn before has an older one
    if look.settled = drawn then
        return;
    end if;
    select * into before from audit_anchor a order by a.number desc limit 1;
    if look.reached = look.upto then
        if greatest(before.at, look.looked_at) > clock_timestamp() - make_interval(secs => every_ms / 1000.0) then
            return;
        end if;
        -- Transactions are counted from the beginning where the database was restored into another server.
        update audit_look l
           set next = case when pg_snapshot_xmin(pg_current_snapshot()) >= pg_current_xact_id() then drawn
                           when pg_snapshot_xmin(pg_current_snapshot()) >= least(l.xid, pg_current_xact_id())
                           then l.upto else l.settled end,
               reached = l.settled, upto = drawn, xid = pg_current_xact_id(), looked_at = clock_timestamp()
        returning * into look;
    end if;
    this := coalesce(before.number, 0) + 1;
    -- What was anchored by the walk before is soon passed; but no call takes long, however much that is.
    for n in 1 .. 10 loop
        exit when chains > 0 or look.reached = look.upto;
        select case when count(*) = most then max(w.id) else look.upto end into last
          from (select a.id from audit a where a.id > look.reached and a.id <= look.upto order by a.id limit most) w;
        -- One by one (offset 0): what is joined is never all of it.
        with grown as materialized (
            select h.account_id, h.kind, h.anchored + 1 as from_seq, h.seq, h.hash
              from (select distinct a.account_id, a.kind from audit a where a.id > look.reached and a.id <= last) g
             cross join lateral (
                select s.*, coalesce((select d.seq from audit_anchored d
                                       where d.account_id = s.account_id and d.kind = s.kind), 0) as anchored
                  from audit_heads s where s.account_id = g.account_id and s.kind = g.kind offset 0) h
             where h.seq > h.anchored
        ), marked as (
            insert into audit_anchored as d (account_id, kind, seq, number)
            select g.account_id, g.kind, g.seq, this from grown g
            on conflict (account_id, kind) do update set seq = excluded.seq, number = excluded.number
        )
        insert into audit_leaf (account_id, kind, number, from_seq, seq, hash)
        select g.account_id, g.kind, this, g.from_seq, g.seq, g.hash from grown g;
        get diagnostics chains = row_count;
        look.reached := last;
    end loop;
    more := look.reached < look.upto;
    update audit_look l set reached = look.reached, settled = case when more then l.settled else l.next end;
    if chains > 0 then
        body := jsonb_build_object('anchor_no', this, 'at', utc_text(clock_timestamp()), 'chains', chains,
            'root', audit_root(this),
            'previous', encode(coalesce(sha256(convert_to(before.body, 'UTF8')), audit_genesis()), 'hex'));
    end if;
end $$;
revoke execute on function audit_anchor_next(int, int) from kamd_app;
