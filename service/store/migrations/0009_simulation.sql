-- What a list of key accounts is decided with: the customers' wallets, nominations, what-if runs, and the status of another day.

create table wallet (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    external_ids jsonb not null default '{}',
    account_id uuid not null constraint wallet_account_id_fkey references account,
    category text not null, period text not null,
    customer_spend numeric(19, 4) check (customer_spend >= 0), our_revenue numeric(19, 4) check (our_revenue >= 0), -- null: unknown
    currency_code text, source text, confidence text,
    share numeric(7, 4) generated always as (round(our_revenue / nullif(customer_spend, 0), 4)) stored,
    constraint wallet_share_check check (our_revenue <= customer_spend)
);
create unique index wallet_period_key on wallet (account_id, category, period) where deleted_at is null;
create index wallet_account_id_idx on wallet (account_id, id);
create index wallet_updated_at_idx on wallet (updated_at, id);
call protect('wallet', 'account_id');
call log_changes('wallet', 'wallet', 'account_id', 'events');
call follow_external_ids('wallet', 'wallet', 'account_id');

create function wallet_follow() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform rescore_mark(array_agg(distinct account_id)) from new_rows;
    return null;
end $$;
create trigger wallet_follow_insert after insert on wallet referencing new table as new_rows for each statement execute function wallet_follow();
create trigger wallet_follow_update after update on wallet referencing new table as new_rows for each statement execute function wallet_follow();

-- ---- nominations ----

create table nomination (
    id uuid primary key, version bigint not null default 1,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now(), deleted_at timestamptz,
    account_id uuid not null constraint nomination_account_id_fkey references account,
    region text not null, reason text not null,
    status text not null default 'open' check (status in ('open', 'accepted', 'declined', 'withdrawn')),
    nominated_by text, decided_at timestamptz, decided_by text, decision_reason text
);
create unique index nomination_region_key on nomination (account_id, region) where status = 'open' and deleted_at is null;
create index nomination_account_id_idx on nomination (account_id, id);
create index nomination_updated_at_idx on nomination (updated_at, id);
create index nomination_open_idx on nomination (id) where status = 'open';
call protect('nomination', 'account_id');
call log_changes('nomination', 'nomination', 'account_id', 'events');

-- The standing's lock decides between a nomination and a designation at the same time: whichever comes second sees the other.
create function nomination_made() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    its record;
begin
    perform 1 from standing s where s.account_id = new.account_id for share;
    select s.key_status, a.lifecycle into its from standing s join account a on a.id = s.account_id where s.account_id = new.account_id;
    if its.lifecycle <> 'customer' then
        raise exception using errcode = 'KD422', message = 'not_existing_customer', column = 'account_id',
            detail = format('The account is a %s; only an existing customer can be nominated.', its.lifecycle);
    end if;
    if its.key_status in ('key', 'at_risk') then
        raise exception using errcode = 'KD409', message = 'conflict', column = 'account_id', detail = 'The account is a key account already.';
    end if;
    new.nominated_by := context('actor');
    return new;
end $$;
create trigger nomination_made before insert on nomination for each row execute function nomination_made();

-- Run as the caller: row level security says which nominations are there. Open ones are declined by those who decide; withdrawn by whoever nominated, or by them.
create function nomination_close(nomination uuid, outcome text, why text) returns void language plpgsql as $$
declare
    its nomination;
begin
    select * into its from nomination n where n.id = nomination_close.nomination and n.deleted_at is null for update;
    if not found then
        raise exception using errcode = 'KD404', message = 'not_found', detail = 'There is no such nomination that you can see.';
    end if;
    if its.status <> 'open' then
        raise exception using errcode = 'KD409', message = 'conflict', detail = format('The nomination is %s already.', its.status);
    end if;
    if outcome = 'withdrawn' and its.nominated_by is distinct from context('actor') and context('scope') is distinct from 'all' then
        raise exception using errcode = 'KD403', message = 'forbidden', detail = 'Only who nominated withdraws it; a director may decline it.';
    end if;
    update nomination n set status = outcome, decision_reason = why, decided_at = now(), decided_by = context('actor'), version = n.version + 1, updated_at = now()
     where n.id = its.id;
end $$;

create function nominations_accepted() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    update nomination n set status = 'accepted', decided_at = now(), decided_by = context('actor'), version = n.version + 1, updated_at = now()
     where n.account_id = new.account_id and n.status = 'open';
    return null;
end $$;
create trigger nominations_accepted after update of key_status on standing for each row
    when (new.key_status = 'key' and old.key_status not in ('key', 'at_risk')) execute function nominations_accepted();

