-- How a table is guarded: who sees and writes which of its rows, and what is noted of every change. The build puts this
-- text before each TOPIC.guards.sql, so that a change here applies all of them anew.
--
-- Each rls_by_... procedure begins with the table's policies anew: the owner and the workers see every row; what
-- kamd_app sees, the procedure says. A policy for one table alone follows its call.

-- `readable` and `writable` are conditions on the table's columns.
create or replace procedure rls_policies(tab regclass, name text, readable text, writable text) language plpgsql as $$
declare
    old name;
begin
    execute format('alter table %s enable row level security, force row level security', tab);
    for old in select p.polname from pg_policy p where p.polrelid = tab loop
        execute format('drop policy %I on %s', old, tab);
    end loop;
    execute format('create policy owner on %s to kamd_owner using (true) with check (true)', tab);
    execute format('create policy worker on %s to kamd_worker using (true) with check (true)', tab);
    execute format('create policy %I on %s to kamd_app using (%s) with check (%s)', name, tab, readable, writable);
end $$;

-- Rows of the accounts that the caller sees, whatever areas of them. The sub-selects name nothing of the row: they are
-- evaluated once in a statement, and not at all for callers who see all accounts (a correlated EXISTS turned a search
-- of 0.3 ms into one of 1.5 s).
create or replace procedure rls_by_account(tab regclass, account_column name) language plpgsql as $$
declare
    visible text := format(
        '(select current_setting(''kamd.scope'', true)) = ''all'''
        ' or %I = any (array(select a.account_id from account_access a'
        ' where a.user_id = (select nullif(current_setting(''kamd.user_id'', true), '''')::uuid)'
        ' and a.visible_from <= now() and a.visible_until > now()))', account_column);
begin
    call rls_policies(tab, 'visible', visible, visible);
end $$;

-- Rows of the accounts of which the caller reads, or writes, this area.
create or replace procedure rls_by_area(tab regclass, account_column name, area text) language plpgsql as $$
declare
    bit bigint := 1::bigint << area_number(area);
    visible text := '(select current_setting(''kamd.scope'', true) = ''all'' and %s() & %s <> 0)'
                    ' or %I = any ((select %s(%s))::uuid[])';
begin
    call rls_policies(tab, 'visible', format(visible, 'caller_reads', bit, account_column, 'readable_accounts', bit),
                      format(visible, 'caller_writes', bit, account_column, 'writable_accounts', bit));
end $$;

-- The same where each row has an area of its own: `area` is an expression that gives its number.
create or replace procedure rls_by_row_area(tab regclass, area text) language plpgsql as $$
declare
    everything text := format('(select current_setting(''kamd.scope'', true)) = ''all'''
                              ' and (select %%s()) >> %s & 1 = 1', area);
begin
    call rls_policies(tab, 'visible',
        format(everything, 'caller_reads')
        || ' or account_id = any ((select readable_accounts(-1))::uuid[])'
        || format(' and (account_id, %s) in (select r.account_id, r.area from readable_areas() r)', area),
        format(everything, 'caller_writes')
        || format(' or (account_id, %s) in (select r.account_id, r.area from writable_areas() r)', area));
end $$;

-- Rows that are their maker's: `own` is a condition on the table's columns.
create or replace procedure rls_by_owner(tab regclass, own text) language plpgsql as $$
begin
    call rls_policies(tab, 'own', own, own);
end $$;

-- History and events of a table of records. `mode` is 'events', or 'quiet': history of updates only. `account_column`
-- is '' where a record belongs to no account.
create or replace procedure log_changes(tab regclass, resource text, account_column text, mode text)
language plpgsql as $$
begin
    if mode <> 'quiet' then
        execute format('create or replace trigger log_insert after insert on %s referencing new table as new_rows'
                       ' for each statement execute function log_insert(%L, %L, %L)',
                       tab, resource, account_column, mode);
    end if;
    execute format('create or replace trigger log_update after update on %s'
                   ' referencing old table as old_rows new table as new_rows'
                   ' for each statement execute function log_update(%L, %L, %L)',
                   tab, resource, account_column, mode);
end $$;

-- Keeps external_id in step with the records' external_ids.
create or replace procedure track_external_ids(tab regclass, resource text, account_column text)
language plpgsql as $$
begin
    execute format('create or replace trigger external_ids_insert after insert on %s referencing new table as new_rows'
                   ' for each statement execute function external_ids_track(%L, %L)', tab, resource, account_column);
    execute format('create or replace trigger external_ids_update after update on %s'
                   ' referencing old table as old_rows new table as new_rows'
                   ' for each statement execute function external_ids_track(%L, %L)', tab, resource, account_column);
end $$;

-- The ids in this column, a text[], are of records of the same account in the table `target`.
create or replace procedure enforce_references(tab regclass, its_column text, target text) language plpgsql as $$
begin
    execute format('create or replace trigger %I after insert on %s referencing new table as new_rows'
                   ' for each statement execute function references_exist(%L, %L)',
                   its_column || '_insert', tab, its_column, target);
    execute format('create or replace trigger %I after update on %s'
                   ' referencing old table as old_rows new table as new_rows'
                   ' for each statement execute function references_exist(%L, %L)',
                   its_column || '_update', tab, its_column, target);
end $$;
