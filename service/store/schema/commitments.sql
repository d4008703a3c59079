-- Commitments: promises to a customer, with their day (000-15). A worker tells when one is due, and calls it broken
-- when it is still open after the days of grace.

-- Works out, before a commitment is written, when its day begins in its time zone (`due_at`) and since when it is
-- settled (`settled_at`, null while it is open). One that was renegotiated keeps its status and days: the promise that
-- took its place can be changed.
create or replace function commitment_due() returns trigger language plpgsql as $$
begin
    new.due_at := local_instant(new.due_on::timestamp, new.time_zone);
    if tg_op = 'UPDATE' and old.status = 'renegotiated'
       and (new.status, new.new_due_on, new.due_on) is distinct from (old.status, old.new_due_on, old.due_on) then
        raise exception using errcode = 'KD409', message = 'conflict', column = 'status',
                              detail = 'It was renegotiated; the promise that took its place can be changed.',
                              hint = (select jsonb_build_object('successor_id', c.id)::text from commitment c
                                       where c.renegotiated_from_id = new.id);
    end if;
    if new.status = 'open' then
        new.settled_at := null;
    elsif tg_op = 'INSERT' or old.status <> new.status then
        new.settled_at := now();
    end if;
    return new;
end $$;

-- An event of `type` about a commitment, for event_write(). `dedupe` is the event's own name, of which its id is made.
create or replace function commitment_event(type text, c commitment, dedupe text) returns event_in
immutable language sql as $$
    select row (type, c.account_id, 'commitment', c.id, c.version, dedupe,
                jsonb_strip_nulls(jsonb_build_object(
                    'account_id', c.account_id, 'commitment_id', c.id, 'version', c.version, 'text', c.text,
                    'due_on', c.due_on, 'time_zone', c.time_zone, 'made_by_id', c.made_by_id,
                    'made_to_contact_id', c.made_to_contact_id, 'status', c.status)),
                '{}')::event_in
$$;

-- Gives each renegotiated commitment a successor with the new day, and tells of each broken one. Null: there are none.
-- enable_nestloop is on since commitment_follow() calls this with it off: what the insert fires is planned as usual.
create or replace function commitment_settle(after commitment[]) returns void
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = on as $$
begin
    if after is null then
        return; -- an insert, even of no rows, fires commitment_follow(), which would come back here without end
    end if;
    insert into commitment
           (id, account_id, text, made_to_contact_id, made_by_id, due_on, time_zone, renegotiated_from_id)
    select uuid_v7(), c.account_id, c.text, c.made_to_contact_id, user_successor(c.made_by_id, c.account_id),
           c.new_due_on, c.time_zone, c.id
      from unnest(after) c
     where c.status = 'renegotiated'
     order by c.id;
    perform event_write(array_agg(
                commitment_event('commitment.broken', c, 'commitment.broken:' || c.id || ':' || c.version)
                order by c.id))
       from unnest(after) c
      where c.status = 'broken';
end $$;
revoke execute on function commitment_settle(commitment[]) from kamd_app;

-- Hands those that became renegotiated or broken to commitment_settle(). enable_nestloop is off for the join of the
-- states before and after, which a connection plans once, and mostly for one row: nested loops would compare each of
-- thousands of rows with each.
create or replace function commitment_follow() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off as $$
begin
    if tg_op = 'INSERT' then
        perform commitment_settle(array_agg(row (n.*)::commitment))
           from new_rows n
          where n.status in ('renegotiated', 'broken');
    else
        perform commitment_settle(array_agg(row (n.*)::commitment))
           from new_rows n join old_rows o on o.id = n.id
          where n.status in ('renegotiated', 'broken') and o.status <> n.status;
    end if;
    return null;
end $$;

-- Tells of at most `most` open commitments whose day has begun, once for each day; then calls at most `most` broken
-- that were told of and are still open when the day and commitment_grace_days are over (a person may still say that one
-- was kept). Returns how many it touched. A row that somebody else has locked has its turn later.
create or replace function commitments_fire(most int) returns int
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    grace int := (select commitment_grace_days from program_settings);
    evs event_in[];
    lapsed int;
begin
    with due as materialized (
        select c.id from commitment c
         where c.status = 'open' and c.deleted_at is null and c.due_at <= clock_timestamp()
           and c.told_due_on is distinct from c.due_on
         order by c.due_at
         limit most
           for update skip locked
    ), told as (
        update commitment c set told_due_on = c.due_on from due d where c.id = d.id returning c.*
    )
    select array_agg(
               commitment_event('commitment.due', row (t.*)::commitment, 'commitment.due:' || t.id || ':' || t.due_on)
               order by t.due_at, t.id)
      into evs
      from told t;
    perform event_write(evs);
    -- due_at has an index and leaves few; local_instant() then says when the last day of grace ends in the time zone.
    with late as materialized (
        select c.id from commitment c
         where c.status = 'open' and c.deleted_at is null
           and c.due_at <= clock_timestamp() - make_interval(days => grace) and c.told_due_on = c.due_on
           and local_instant((c.due_on + 1 + grace)::timestamp, c.time_zone) <= clock_timestamp()
         order by c.due_at
         limit most
           for update skip locked
    )
    update commitment c set status = 'broken', version = c.version + 1, updated_at = now()
      from late l
     where c.id = l.id;
    get diagnostics lapsed = row_count;
    return coalesce(cardinality(evs), 0) + lapsed;
end $$;
revoke execute on function commitments_fire(int) from kamd_app;
