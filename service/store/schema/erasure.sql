-- Persons: what is kept about one, wherever it lies, and the erasure of a person for good. The record of who was erased
-- stays, without anything about the person, so that what refers to it still does.

-- The digest under which the id of an erased person in another system is kept. Its key is of this database alone, so
-- that an id is known again, but read by nobody. PL/pgSQL keeps its plan; an SQL function that is a security definer
-- would be planned at each call.
create or replace function erasure_id_digest(system text, external_id text) returns bytea
stable security definer set search_path = public, pg_temp language plpgsql as $$
begin
    return (select sha256(k.key || convert_to(jsonb_build_array(system, external_id)::text, 'UTF8'))
              from erasure_id_key k);
end $$;
revoke execute on function erasure_id_digest(text, text) from kamd_app, kamd_worker;

-- The erased person whom an id in another system means; null: nobody. In PL/pgSQL, which keeps its plan.
create or replace function erasure_contact_of_id(system text, external_id text) returns uuid
stable security definer set search_path = public, pg_temp language plpgsql as $$
begin
    return (select e.contact_id from erasure_id e where e.digest = erasure_id_digest(system, external_id));
end $$;

-- Trigger: nobody who was erased is restored.
create or replace function erasure_is_final() returns trigger language plpgsql as $$
begin
    raise exception using errcode = 'KD409', message = 'contact_erased',
        detail = 'The person was erased and is not coming back.';
end $$;

-- Trigger: nobody who was erased comes back as a new contact, or another one, with an id from another system.
create or replace function erasure_bars_id() returns trigger language plpgsql as $$
begin
    if exists (select from jsonb_each_text(new.external_ids) k
                where erasure_contact_of_id(k.key, k.value) is not null) then
        raise exception using errcode = 'KD409', message = 'contact_erased', column = 'external_ids',
            detail = 'The person with this id was erased and is not coming back.';
    end if;
    return new;
end $$;

-- The words that texts are searched for to find a person, as regular expressions: `names` matches the family name, also
-- with the given name beside it; `exact` matches what nobody else has (addresses, numbers, ids in other systems). Both
-- know what the contact said at any time, by its history and its conflicts with other systems. Where there is nothing
-- to search for, such as for a family name of one letter alone, the expression matches no text.
create or replace function person_words(person uuid, out names text, out exact text) stable language sql as $$
    with said as (
        select f.key as field, f.value #>> '{}' as value from contact c, jsonb_each(to_jsonb(c)) f where c.id = person
        union
        select f.key, v.value #>> '{}'
          from history h, jsonb_each(h.changes) f, jsonb_array_elements(f.value) v
         where h.record_id = person and h.resource = 'contact'
        union
        select s.field, v #>> '{}'
          from sync_conflict s, unnest(array[s.kamd_value, s.system_value]) v
         where s.record_id = person
        union
        select 'external_id', e.value from contact c, jsonb_each_text(c.external_ids) e where c.id = person
        union
        select 'external_id', e.value
          from history h, jsonb_array_elements(h.changes -> 'external_ids') v,
               jsonb_each_text(case jsonb_typeof(v) when 'object' then v else '{}' end) e
         where h.record_id = person and h.resource = 'contact'
    ), named as (
        select string_agg(regexp_replace(value, '([^[:alnum:]])', '\\\1', 'g'), '|')
                   filter (where field = 'family_name' and length(value) > 1) as family,
               string_agg(regexp_replace(value, '([^[:alnum:]])', '\\\1', 'g'), '|')
                   filter (where field = 'given_name') as given
          from said
         where value not in ('', '(erased)')
    ), quoted as (
        -- a given name only beside the family name
        select coalesce('((' || n.given || ')[[:space:]]+)?', '') || '(' || n.family || ')'
               || coalesce('(,?[[:space:]]+(' || n.given || '))?', '') as pattern, true as name
          from named n
        union
        select regexp_replace(value, '([^[:alnum:]])', '\\\1', 'g'), false
          from said
         where field in ('email', 'linkedin_url') or field = 'external_id' and length(value) between 8 and 17
        union
        -- ids of Salesforce, also without the checksum of three letters at their end
        select left(value, 15) || '(' || right(value, 3) || ')?', false
          from said
         where field = 'external_id' and value ~ '^[[:alnum:]]{18}$'
        union
        select regexp_replace(value, '([^[:alnum:]])', '\\\1', 'g'), false
          from said
         where field = 'external_id' and length(value) > 17 and value !~ '^[[:alnum:]]{18}$'
        union
        -- phone numbers, however their digits are set apart
        select '\+?' || regexp_replace(regexp_replace(value, '\D', '', 'g'), '(\d)(?!$)', '\1[ ./()-]*', 'g'), false
          from said
         where field = 'phone' and length(value) > 5
    )
    select coalesce(string_agg(pattern, '|') filter (where name), '(?=a)b'),
           coalesce(string_agg(pattern, '|') filter (where not name), '(?=a)b')
      from (select '(?<![[:alnum:]])' || pattern || '(?![[:alnum:]])' as pattern, name
              from quoted
             where pattern <> ''
             order by 1) q
$$;

-- The words of person_words() without the check that no letter or digit stands beside them, which costs ten times as
-- much: a text that these do not match need not be searched for the words themselves.
create or replace function person_words_roughly(words text) returns text
immutable parallel safe language sql as
$$ select replace(replace(words, '(?<![[:alnum:]])', ''), '(?![[:alnum:]])', '') $$;

-- Whether the text says what `words` matches. `roughly` is person_words_roughly(words), which is asked first.
create or replace function person_words_match(said text, words text, roughly text) returns boolean
immutable parallel safe language sql as $$ select case when said ~* roughly then said ~* words else false end $$;

-- The tables of records that may name a person: all that belong to an account, accounts, and why they are key; but not
-- orders, which name products. `key` is an expression over a row x that tells the rows apart, `account` the column of
-- their account.
create or replace function person_tables() returns table (name text, key text, account text) stable language sql as $$
    select m.name, 'id', 'account_id'
      from merge_tables() m
      join pg_attribute a on a.attrelid = m.name::regclass and a.attname = 'id' and not a.attisdropped
     where m.moves and m.name <> 'sales_order'
    union
    values ('account', 'id', 'id'), ('account_status', 'account_id', 'account_id'),
           -- the id by which history knows a row
           ('key_status_history', 'uuid_generate_v5(''6f1f1c0e-7c1b-4d0a-9d53-6b616d640001'', ''key_status:'' || x.id)',
            'account_id')
     order by 1
$$;

-- The name that history has for the records of a table.
create or replace function table_resource(tab text) returns text immutable language sql as $$
    select case tab when 'account_metric' then 'metric'
                    when 'account_status' then 'standing'
                    when 'allied_organisation' then 'link'
                    when 'expectation_rating' then 'expectation'
                    when 'key_status_history' then 'key_status'
                    else tab end
$$;

-- The accounts that a person is with, or was with at some time.
create or replace function person_accounts(person uuid) returns uuid[] stable language sql as $$
    select array(select c.account_id from contact c where c.id = person
                 union
                 select h.account_id from history h where h.record_id = person and h.account_id is not null)
$$;

-- The records of the table `tab` of person_tables() that refer to the person by id, or have `fields` that say what
-- `words` matches: by key, behind `after_id` and up to `until_id`, `most` at most; of `accounts`, but not of `not_of`.
-- Null means no bound. Of other persons only the title and the department are searched, which somebody wrote about
-- them: a family has one name, and a switchboard one number.
create or replace function person_records(
    person uuid, words text, accounts uuid[], not_of uuid[], tab text, after_id uuid, until_id uuid, most int)
returns table (id uuid, account_id uuid, document jsonb, refers boolean, fields text[])
stable language plpgsql as $$
declare
    t record;
begin
    select * into t from person_tables() p where p.name = tab;
    return query execute format($q$
        select * from (
            select t.id, t.of_account, t.j, coalesce(strpos(t.j::text, $1::text) > 0, false) as refers,
                   array(select e.key from jsonb_each(t.j) e
                       where person_words_match(e.value::text, $2, $8)
                         and (%1$L <> 'contact' or e.key in ('title', 'department'))
                       order by 1) as said
              from (select %2$s as id, x.%3$I as of_account, to_jsonb(x) as j from %1$I x
                     where ($3 is null or x.%3$I = any ($3)) and ($4 is null or x.%3$I <> all ($4))
                             and ($5 is null or %2$s > $5) and ($6 is null or %2$s <= $6)
                       and %2$s is distinct from $1) t
             where strpos(t.j::text, $1::text) > 0 or t.j::text ~* $8
             order by t.id) r where r.refers or cardinality(r.said) > 0 limit $7$q$, tab, t.key, t.account)
      using person, words, accounts, not_of, after_id, until_id, most, person_words_roughly(words);
end $$;

-- One of the parts 1 to 7 of personal_data(), whose rows are found by the person's id: `most` rows behind the key
-- `start`.
create or replace function personal_data_own(person uuid, part_no int, start text, most int)
returns table (part int, key text, kind text, document jsonb)
stable language plpgsql as $$
#variable_conflict use_column
begin
    if part_no = 1 then
        return query
        select 1, 'contact', 'contact', to_jsonb(c) - 'derived_version'
          from contact c where c.id = person and start = '';
    elsif part_no = 2 then
        return query
        select 2, x.system, 'external_id', jsonb_build_object(
                   'system', x.system, 'external_id', x.external_id, 'system_modstamp', s.system_modstamp,
                   'is_deleted', s.is_deleted)
          from external_id x
          left join sync_state s on (s.system, s.resource, s.external_id) = (x.system, x.resource, x.external_id)
         where x.record_id = person and x.system collate "C" > start
         order by x.system collate "C" limit most;
    elsif part_no = 3 then
        return query
        select 3, lpad(h.id::text, 20, '0'), 'history', jsonb_build_object(
                   'at', h.at, 'op', h.op, 'version', h.version, 'actor', h.actor, 'origin', h.origin,
                   'request_id', h.request_id, 'changes', h.changes)
          from history h
         where h.record_id = person and h.id > coalesce(nullif(start, '')::bigint, 0)
         order by h.id limit most;
    elsif part_no = 4 then
        return query
        select 4, lpad(a.id::text, 20, '0'), 'access', jsonb_build_object(
                   'at', a.at, 'actor', a.actor, 'origin', a.origin, 'request_id', a.request_id, 'resource', a.resource)
          from audit a
         where a.record_id = person and a.kind = 'read' and a.id > coalesce(nullif(start, '')::bigint, 0)
         order by a.id limit most;
    elsif part_no = 5 then
        return query
        select 5, i.id::text, 'import', jsonb_build_object(
                   'id', i.id, 'created_at', i.created_at, 'system', i.system, 'source', i.source, 'status', i.status)
          from import i
         where i.id::text > start
           and i.id in (
               select substr(h.request_id, 8)::uuid
                 from history h
                where h.record_id = person
                  and h.request_id ~ '^import-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$')
         order by i.id limit most;
    elsif part_no = 6 then
        return query
        select 6, s.id::text, 'conflict', to_jsonb(s)
          from sync_conflict s where s.record_id = person and s.id::text > start order by s.id limit most;
    elsif part_no = 7 then
        return query
        select 7, d.system || '|' || d.external_id, 'deferred', to_jsonb(d)
          from external_id x
          join sync_deferred d on (d.system, d.resource, d.external_id) = (x.system, 'contact', x.external_id)
         where x.record_id = person and (d.system || '|' || d.external_id) collate "C" > start
         order by (d.system || '|' || d.external_id) collate "C" limit most;
    end if;
end $$;

-- The records that refer to a person, or say the person's name, `most` behind `start` (table|id). One call looks
-- through 2000 rows at most; a last row without a document says how far it came.
create or replace function personal_data_records(person uuid, start text, most int)
returns table (part int, key text, kind text, document jsonb)
stable language plpgsql as $$
#variable_conflict use_column
declare
    w record;
    accounts uuid[] := person_accounts(person);
    got int;
    tab record;
    begin_id uuid;
    end_id uuid;
    looked int;
    budget int := 2000;
begin
    select * into w from person_words(person);
    for tab in
        select * from person_tables() t
         where t.name collate "C" >= split_part(start, '|', 1)
         order by t.name collate "C"
    loop
        begin_id := case when tab.name = split_part(start, '|', 1)
                         then nullif(split_part(start, '|', 2), '')::uuid end;
        execute format(
            'select count(*), max(k.id::text) from (select %2$s as id from %1$I x where x.%3$I = any ($1) '
            'and ($2 is null or %2$s > $2) order by 1 limit $3) k', tab.name, tab.key, tab.account)
           into looked, end_id using accounts, begin_id, budget;
        return query
        select 8, tab.name || '|' || r.id, 'record', jsonb_build_object(
                   'resource', table_resource(tab.name), 'id', r.id, 'refers', r.refers, 'says_in', r.fields,
                   'record', r.document)
          from person_records(person, w.names || '|' || w.exact, accounts, null, tab.name,
                              begin_id, end_id, most) r;
        get diagnostics got = row_count;
        most := most - got;
        budget := budget - looked;
        exit when most <= 0;
        if budget <= 0 then
            return query select 8, tab.name || '|' || end_id, null::text, null::jsonb;
            return;
        end if;
    end loop;
end $$;

-- The events about a person with the endpoints that they were sent to, `most` behind the position `start` of the log.
-- One call goes through 20,000 places of the log at most, whatever it finds there; a last row without a document says
-- how far it came.
create or replace function personal_data_events(person uuid, start text, most int)
returns table (part int, key text, kind text, document jsonb)
stable language plpgsql as $$
#variable_conflict use_column
declare
    behind bigint := nullif(start, '')::bigint;
    log_end bigint := (select s.position from sequencer s);
    until bigint := least(coalesce(behind, (select min(p.position) - 1 from event_position p), 0) + 20000, log_end);
    got int;
begin
    return query
    select 9, lpad(p.position::text, 20, '0'), 'event', jsonb_build_object(
               'id', e.id, 'at', e.at, 'type', e.type, 'data', e.data,
               'sent_to', (
                   select coalesce(jsonb_agg(jsonb_build_object(
                              'endpoint_id', d.endpoint_id, 'at', d.created_at)), '[]')
                     from webhook_endpoint_state s
                     join webhook_delivery d on d.id = webhook_delivery_id(p.position, s.number)))
      from event_position p
     cross join lateral (select * from event e where e.at = p.at and e.seq = p.seq offset 0) e
     where p.position > coalesce(behind, 0) and p.position <= until
       and (e.record_id = person
            or e.data @> jsonb_build_object('contact_id', person)
            or e.data @> jsonb_build_object('made_to_contact_id', person))
     order by p.position limit most;
    get diagnostics got = row_count;
    if got < most and until < log_end then
        return query select 9, lpad(until::text, 20, '0'), null::text, null::jsonb;
    end if;
end $$;

-- What is kept about a person, `most` rows behind (after_part, after_key; null: from the beginning), in nine parts: the
-- record, its ids in other systems, its history, who read it, imports that brought it, values that lost in a conflict,
-- messages that wait, records that refer to it or say its name, and events with the endpoints that they were sent to. A
-- row without a document says how far a part was looked through that has more. Refused to callers who do not read all
-- areas of all accounts.
create or replace function personal_data(person uuid, after_part int, after_key text, most int)
returns table (part int, key text, kind text, document jsonb)
stable language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_column
declare
    n int := coalesce(after_part, 1);
    start text := coalesce(after_key, '');
    left_over int := most;
begin
    if session_setting('scope') is distinct from 'all' or caller_reads() <> areas_all() then
        raise exception using errcode = 'KD403', message = 'forbidden',
            detail = 'What is kept about a person lies in all areas of an account.';
    end if;
    while n <= 9 and left_over > 0 loop
        for part, key, kind, document in
            select * from personal_data_own(person, n, start, left_over)
            union all
            select * from personal_data_records(person, start, left_over) where n = 8
            union all
            select * from personal_data_events(person, start, left_over) where n = 9
        loop
            return next;
            if document is null then -- the part has more
                return;
            end if;
            left_over := left_over - 1;
        end loop;
        n := n + 1;
        start := '';
    end loop;
end $$;

-- A document in which "(erased)" stands for what the words match. Where it shows the person's own record, nothing is
-- left but what is not about the person; where it shows another person's, that one's name, addresses and ids stay.
create or replace function erasure_of_json(j jsonb, words text, person uuid) returns jsonb
immutable language plpgsql as $$
declare
    -- This is the record of another person.
    another boolean := jsonb_typeof(j) = 'object' and j ? 'id' and j ? 'family_name'
                       and (j ->> 'id') is distinct from person::text;
begin
    if jsonb_typeof(j) = 'string' then
        return to_jsonb(regexp_replace(j #>> '{}', words, '(erased)', 'gi'));
    elsif jsonb_typeof(j) = 'array' then
        return (select coalesce(jsonb_agg(erasure_of_json(e.value, words, person) order by e.n), '[]')
                  from jsonb_array_elements(j) with ordinality e(value, n));
    elsif jsonb_typeof(j) = 'object' then
        if j ->> 'id' = person::text and j ? 'family_name' then
            j := (select jsonb_object_agg(
                             f.key,
                             case when f.key in ('id', 'account_id', 'version', 'created_at', 'updated_at', 'etag',
                                                 'last_interaction_at', 'redacted') then f.value
                                  when f.key = 'family_name' then '"(erased)"'
                                  when f.key = 'external_ids' then '{}'
                                  when f.key = 'influences' then '[]'
                                  else 'null' end)
                    from jsonb_each(j) f);
        end if;
        return (select coalesce(jsonb_object_agg(
                           f.key,
                           case when another and f.key in ('given_name', 'family_name', 'email', 'phone',
                                                           'linkedin_url', 'external_ids') then f.value
                                else erasure_of_json(f.value, words, person) end), '{}')
                  from jsonb_each(j) f);
    end if;
    return j;
end $$;

-- The digest, in hex, of the changes that a history row tells of, by which an erasure says how it left the row.
create or replace function erasure_digest(changes jsonb) returns text
stable parallel safe language sql as $$ select encode(sha256(convert_to(changes::text, 'UTF8')), 'hex') $$;

-- Whether a history row is as an erasure has left it, by the digest that was chained with the erasure. The chain may be
-- that of another account, which the record was with since.
create or replace function erasure_overwrote(h history) returns boolean stable language sql as $$
    select exists (select from audit a
                     join history e on e.id = a.history_id
                    where a.record_id = h.record_id and a.action = 'erased'
                      and a.digest = audit_digest(e.resource, e.changes, a.personal)
                      and e.changes -> 'overwritten' -> 1 ->> h.id::text = erasure_digest(h.changes))
$$;

-- Overwrites what history says of a record: of a person (no `words`) everything, of another record what the words
-- match. Of a person the salt goes, too: without it the digests that were chained say nothing any more. A history row
-- 'erased' chains the digests of the rows as they are now, so that the audit still holds. `of_account` is for a record
-- whose history names no account. Returns how many rows were overwritten.
create or replace function erasure_of_history(
    resource text, record uuid, words text default null, reason text default null, of_account uuid default null)
returns bigint
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_variable
declare
    account uuid;
    overwritten jsonb;
    rows bigint;
begin
    select h.account_id into account from history h where h.record_id = record order by h.id desc limit 1;
    account := coalesce(account, of_account);
    with erased as (
        update history h
           set changes = case
                   when words is null then (
                       select jsonb_object_agg(
                                  f.key,
                                  case when f.key in ('account_id', 'deleted_at', 'erased_at', 'last_interaction_at')
                                       then f.value
                                       else '[null, null]' end)
                         from jsonb_each(h.changes) f)
                   when resource = 'contact' then h.changes || erasure_of_json((
                       select coalesce(jsonb_object_agg(f.key, f.value), '{}')
                         from jsonb_each(h.changes) f
                        where f.key in ('title', 'department')), words, null)
                   else erasure_of_json(h.changes, words, null) end
         where h.record_id = record and h.resource = resource and h.op <> 'erased' and h.changes <> '{}'
           and (words is null or h.changes::text ~* words)
        returning h.id, h.changes
    )
    select coalesce(jsonb_object_agg(e.id, erasure_digest(e.changes)), '{}'), count(*) into overwritten, rows
      from erased e;
    if words is null then
        delete from audit_salt t where t.record_id = record;
    end if;
    insert into history (account_id, resource, record_id, version, op, actor, origin, request_id, changes, area)
    values (account, resource, record, 0, 'erased', session_setting('actor'), session_setting('origin'),
            session_setting('request_id'),
            jsonb_build_object('overwritten', jsonb_build_array(null, overwritten))
            || case when reason is null then '{}'
                    else jsonb_build_object('reason', jsonb_build_array(null, reason)) end,
            coalesce((select h.area from history h where h.record_id = record order by h.id desc limit 1),
                     resource_area(resource)));
    return rows;
end $$;
revoke execute on function erasure_of_history(text, uuid, text, text, uuid) from kamd_app;

-- Erases what the words match from a record of the table `tab` and from its history: from all its texts, arrays of
-- texts and documents. Of another person only the title and the department change; the rest is what that person is
-- called.
create or replace function erasure_of_record(tab text, record uuid, account uuid, words text, reason text) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    given text;
begin
    select string_agg(
               format(
                   case when c.column_name = 'version' then '%1$I = %1$I + 1'
                        when c.column_name = 'updated_at' then '%1$I = now()'
                        when c.data_type = 'text' then '%1$I = regexp_replace(%1$I, $2, ''(erased)'', ''gi'')'
                        when c.data_type = 'jsonb' then '%1$I = erasure_of_json(%1$I, $2, null)'
                        else '%1$I = array(select regexp_replace(y, $2, ''(erased)'', ''gi'') '
                             'from unnest(%1$I) with ordinality u(y, n) order by n)' end,
                   c.column_name), ', ')
      into given
      from information_schema.columns c
     where c.table_schema = 'public' and c.table_name = tab and c.is_generated = 'NEVER'
       and (c.data_type in ('text', 'jsonb') or c.udt_name = '_text' or c.column_name in ('version', 'updated_at'))
       and (tab <> 'contact' or c.column_name in ('title', 'department', 'version', 'updated_at'));
    execute format('update %I x set %s where %s = $1', tab, given,
                   (select p.key from person_tables() p where p.name = tab))
      using record, words;
    perform erasure_of_history(table_resource(tab), record, words, reason, account);
end $$;
revoke execute on function erasure_of_record(text, uuid, uuid, text, text) from kamd_app;

-- The imports that brought a person: that made the person's record, or whose file says what `exact` matches, also
-- across the end of one part and the beginning of the next. Raises a conflict while one of them has not ended.
create or replace function erasure_imports(person uuid, exact text) returns uuid[] stable language plpgsql as $$
declare
    roughly text := person_words_roughly(exact);
    ids uuid[];
    going text;
begin
    select coalesce(array_agg(distinct i.id), '{}') into ids
      from import i
      join (select r.import_id from import_record r where r.record_id = person
            union
            select p.import_id
              from import_part p
             where person_words_match(encode(p.content, 'escape'), exact, roughly)
            union
            select s.import_id
              from (select p.import_id,
                           encode(substring(p.content from greatest(length(p.content) - 255, 1)), 'escape')
                           || lead(encode(substring(p.content for 256), 'escape'))
                                  over (partition by p.import_id order by p.n) as text
                      from import_part p) s
             where person_words_match(s.text, exact, roughly)) named on named.import_id = i.id;
    select string_agg(i.id::text, ', ') into going
      from import i
     where i.id = any (ids) and i.status not in ('succeeded', 'failed', 'reverted');
    if going is not null then
        raise exception using errcode = 'KD409', message = 'conflict',
            detail = format('An import that has not ended names the person: %s. Erase again when it has.', going);
    end if;
    return ids;
end $$;

-- Erases the files of the imports that brought a person, and the person from the errors of all imports. Returns how
-- many there were of each.
create or replace function erasure_of_imports(person uuid, every text, exact text, ids jsonb) returns jsonb
language plpgsql as $$
declare
    read uuid[] := erasure_imports(person, exact);
    roughly text := person_words_roughly(every);
    roughly_exact text := person_words_roughly(exact);
    parts bigint;
    failed bigint;
begin
    -- The files were read to their ends and are not needed any more.
    update import_part p set content = '' where p.import_id = any (read) and p.content <> '';
    get diagnostics parts = row_count;
    update import_error e
       set external_id = case when exists (select from jsonb_array_elements(ids) k where k ->> 1 = e.external_id)
                                   or e.external_id ~* exact then null
                              else e.external_id end,
           errors = erasure_of_json(e.errors, every, person)
     where person_words_match(e.external_id, exact, roughly_exact) or person_words_match(e.errors::text, every, roughly)
        or exists (select from jsonb_array_elements(ids) k
                     join import i on i.id = e.import_id
                    where i.resource = 'contact' and i.system = k ->> 0 and k ->> 1 = e.external_id);
    get diagnostics failed = row_count;
    return jsonb_build_object('import_parts', parts, 'import_errors', failed);
end $$;
revoke execute on function erasure_of_imports(uuid, text, text, jsonb) from kamd_app;

-- Erases a person from what came from other systems: messages that wait, the state of the person's ids, and values that
-- lost in a conflict. Returns how many there were of each.
create or replace function erasure_of_sync(person uuid, every text, ids jsonb) returns jsonb language plpgsql as $$
declare
    deferred bigint;
    conflicts bigint;
begin
    delete from sync_deferred d
     using jsonb_array_elements(ids) k
     where d.resource = 'contact' and d.system = k ->> 0 and d.external_id = k ->> 1;
    get diagnostics deferred = row_count;
    update sync_deferred d
       set record = erasure_of_json(d.record, every, person),
           failure = regexp_replace(d.failure, every, '(erased)', 'gi')
     where d.resource <> 'contact' and (d.record::text ~* every or d.failure ~* every);
    delete from sync_state s
     using jsonb_array_elements(ids) k
     where s.resource = 'contact' and s.system = k ->> 0 and s.external_id = k ->> 1;
    update sync_conflict c
       set kamd_value = null, system_value = null, external_id = '(erased) ' || person,
           resolution = coalesce(c.resolution, 'kamd'), resolved_at = coalesce(c.resolved_at, now()),
           resolved_by = coalesce(c.resolved_by, session_setting('actor'))
     where c.record_id = person;
    get diagnostics conflicts = row_count;
    return jsonb_build_object('sync_deferred', deferred, 'sync_conflicts', conflicts);
end $$;
revoke execute on function erasure_of_sync(uuid, text, jsonb) from kamd_app;

-- Erases what there is of a person beside records: answers kept for repeated requests, imported files and their errors,
-- answers of webhook receivers, messages that wait, values that lost in a conflict. `every` matches all words of the
-- person, `exact` those that nobody else has; `ids` are [[system, id]]. Returns how many there were of each. Raises a
-- conflict while an import that names the person has not ended.
create or replace function erasure_of_copies(person uuid, every text, exact text, ids jsonb) returns jsonb
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    n bigint;
    ret jsonb;
    roughly text := person_words_roughly(every);
begin
    update idempotency i set body = erasure_of_json(i.body::jsonb, every, person)::text
     where i.body <> '' and (strpos(i.body, person::text) > 0 or person_words_match(i.body, every, roughly));
    get diagnostics n = row_count;
    ret := jsonb_build_object('stored_answers', n) || erasure_of_imports(person, every, exact, ids);
    update webhook_attempt a set response_excerpt = null
     where a.response_excerpt is not null
       and (strpos(a.response_excerpt, person::text) > 0
            or person_words_match(a.response_excerpt, every, roughly)
            or a.delivery_id in (select d.id from event e
                                   join webhook_delivery d on d.event_id = e.id
                                  where e.record_id = person));
    get diagnostics n = row_count;
    ret := ret || jsonb_build_object('webhook_attempts', n);
    update import i
       set source = regexp_replace(i.source, every, '(erased)', 'gi'),
           failure = regexp_replace(i.failure, every, '(erased)', 'gi'),
           presets = erasure_of_json(i.presets, every, person)
     where concat_ws(' ', i.source, i.failure, i.presets) ~* every;
    update operation o
       set request = erasure_of_json(o.request, every, person), result = erasure_of_json(o.result, every, person),
           failure = regexp_replace(o.failure, every, '(erased)', 'gi')
     where concat_ws(' ', o.request, o.result, o.failure) ~* every;
    return ret || erasure_of_sync(person, every, ids);
end $$;
revoke execute on function erasure_of_copies(uuid, text, text, jsonb) from kamd_app;

-- Finds the records that say a person's name, address or number in free text, as an array of {tab, resource, id,
-- account_id, fields, replaced}: all words within the accounts that the person was with; in others only the words that
-- nobody else has. At most 1000 of each table. The events of the records in `replace_in` lose these words here, the
-- records themselves in erasure_of_record().
create or replace function person_mentions(person uuid, names text, exact text, replace_in uuid[]) returns jsonb
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    accounts uuid[] := person_accounts(person);
    every text := names || '|' || exact;
    tab record;
    found_in jsonb := '[]';
begin
    for tab in select * from person_tables() loop
        found_in := found_in || coalesce((
            select jsonb_agg(jsonb_build_object(
                       'tab', tab.name, 'resource', table_resource(tab.name), 'id', m.id,
                       'account_id', m.account_id, 'fields', m.fields, 'replaced', m.id = any (replace_in)))
              from (select * from person_records(null, every, accounts, null, tab.name, null, null, 1000)
                    union all
                    select * from person_records(null, exact, null, accounts, tab.name, null, null, 1000)) m), '[]');
    end loop;
    if replace_in <> '{}' then
        update event e set data = erasure_of_json(e.data, every, null)
         where e.record_id = any (replace_in) and person_words_match(e.data::text, every, person_words_roughly(every));
    end if;
    return found_in;
end $$;
revoke execute on function person_mentions(uuid, text, text, uuid[]) from kamd_app;

-- A person's ids in other systems, also those of former times: [[system, id]].
create or replace function erasure_ids(c contact) returns jsonb stable language sql as $$
    select coalesce(jsonb_agg(distinct jsonb_build_array(e.key, e.value)), '[]')
      from (select k.key, k.value from jsonb_each_text(c.external_ids) k
            union
            select k.key, k.value
              from history h, jsonb_array_elements(h.changes -> 'external_ids') v,
                   jsonb_each_text(case jsonb_typeof(v) when 'object' then v else '{}' end) k
             where h.record_id = c.id and h.resource = 'contact') e
$$;

-- Erases the words from those records of `review` (as person_mentions() found them) that are to lose them. It first
-- locks all of them, then their accounts and the person's account `own`.
create or replace function erasure_of_mentions(review jsonb, own uuid, words text, reason text) returns void
language plpgsql as $$
declare
    m record;
    accounts uuid[] := array[own];
begin
    for m in
        select r ->> 'tab' as tab, (r ->> 'id')::uuid as id, (r ->> 'account_id')::uuid as account_id
          from jsonb_array_elements(review) r
         where (r ->> 'replaced')::boolean
    loop
        execute format('select from %I x where %s = $1 for no key update', m.tab,
                       (select p.key from person_tables() p where p.name = m.tab))
          using m.id;
        accounts := accounts || m.account_id;
    end loop;
    perform from account_sequence s where s.account_id = any (accounts) order by s.account_id for update;
    perform erasure_of_record(r ->> 'tab', (r ->> 'id')::uuid, (r ->> 'account_id')::uuid, words, reason)
       from jsonb_array_elements(review) r
      where (r ->> 'replaced')::boolean;
end $$;
revoke execute on function erasure_of_mentions(jsonb, uuid, text, text) from kamd_app;

-- Erases a person for good, and returns {contact_id, erased_at, erased, review}: `erased` says how many there were of
-- each kind, `review` which other records say the person's name, address or number. Of those, the ones in `replace_in`
-- lose the words; the others are for somebody to look at. What takes long comes before the locks, which are taken in
-- the order of everybody: records, then their accounts.
create or replace function erasure_of_contact(person uuid, reason text, replace_in uuid[]) returns jsonb
language plpgsql security definer set search_path = public, pg_temp as $$
#variable_conflict use_variable
declare
    c contact;
    w record;
    every text;
    ids jsonb;
    erased jsonb;
    review jsonb;
begin
    select * into c from contact t where t.id = person for no key update;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found',
            detail = 'There is no such contact that you can see.';
    end if;
    if c.erased_at is not null then
        raise exception using errcode = 'KD409', message = 'contact_erased', detail = 'The person was erased already.';
    end if;
    select * into w from person_words(person);
    every := w.names || '|' || w.exact;
    reason := regexp_replace(reason, every, '(erased)', 'gi');
    ids := erasure_ids(c);
    erased := erasure_of_copies(person, every, w.exact, ids);
    review := person_mentions(person, w.names, w.exact, replace_in);

    -- What took long is done; here the locks begin.
    perform erasure_of_mentions(review, c.account_id, every, reason);
    review := (select coalesce(jsonb_agg(r - 'tab'), '[]') from jsonb_array_elements(review) r);
    insert into erasure_id (digest, contact_id)
    select erasure_id_digest(k ->> 0, k ->> 1), person from jsonb_array_elements(ids) k
    on conflict do nothing;
    update contact t
       set external_ids = '{}', given_name = null, family_name = '(erased)', title = null, department = null,
           email = null, phone = null, decision_role = null, level = null, influence = null, disposition = null,
           reports_to_id = null, linkedin_url = null, contact_preference = null, active_from = null,
           active_until = null, mirror_user_id = null, influences = '[]', erased_at = now(), deleted_at = now(),
           version = t.version + 1, updated_at = now()
     where t.id = person returning * into c;
    erased := erased || jsonb_build_object(
        'history', erasure_of_history('contact', person, null, reason), 'external_ids', jsonb_array_length(ids));
    insert into erasure (contact_id, actor, reason) values (person, session_setting('actor'), reason)
    on conflict do nothing;
    perform event_write(array[
        row ('contact.erased', c.account_id, 'contact', person, c.version, 'contact.erased:' || person,
             jsonb_build_object('account_id', c.account_id, 'contact_id', person, 'version', c.version),
             '{}')::event_in]);
    return jsonb_build_object(
        'contact_id', person, 'erased_at', utc_text(c.erased_at), 'erased', erased, 'review', review);
end $$;
revoke execute on function erasure_of_contact(uuid, text, uuid[]) from kamd_app;

-- Runs an erasure that was queued as an operation, for a worker, in the name of whoever asked for it. Returns the cache
-- entries that it replaced, as in kamd.touched; null: the operation is not this worker's any more.
create or replace function erasure_run(operation_id uuid, token uuid) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    asked jsonb;
    done jsonb;
begin
    select o.request into asked
      from operation o
     where o.id = operation_id and o.lease_token = token and o.status = 'running';
    if not found then
        return null;
    end if;
    perform set_config('kamd.' || k, asked ->> k, true)
       from unnest(array ['actor', 'origin', 'request_id']) k
      where asked ? k;
    done := erasure_of_contact((asked ->> 'contact_id')::uuid, asked ->> 'reason',
                               array(select jsonb_array_elements_text(asked -> 'replace_in'))::uuid[]);
    update operation o
       set status = 'succeeded', updated_at = now(), leased_until = null, progress_done = 1, progress_total = 1,
           result = done
     where o.id = operation_id and o.lease_token = token and o.status = 'running';
    if not found then
        raise exception using errcode = 'KD409', message = 'conflict', detail = 'The operation was cancelled.';
    end if;
    return coalesce(current_setting('kamd.touched', true), '');
end $$;
revoke execute on function erasure_run(uuid, uuid) from kamd_app;

-- The persons whom a backup has brought back, by id: those among `ids`, or in the ledger of erasures, who are not
-- erased.
create or replace function erasure_undone(ids uuid[]) returns setof uuid
stable security definer set search_path = public, pg_temp language sql as $$
    select c.id
      from contact c
     where c.erased_at is null and (c.id = any (ids) or c.id in (select e.contact_id from erasure e))
     order by c.id
$$;
revoke execute on function erasure_undone(uuid[]) from kamd_app;
