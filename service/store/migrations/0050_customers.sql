-- A key account is a customer, not a unit of one: a tree of accounts is scored, ranked and counted once, at its top.
-- account_status.customer_id is that top; units show the status and the tier of their customer (schema/customers.sql).
-- A program that does not know of customers would count units: min-binary is this.
-- min-binary: 50

-- {reason}: a customer of its own, though it lies below another account
alter table account add column standalone jsonb;
alter table program add column counts text not null default 'customer'
    constraint program_counts_check check (counts in ('customer', 'unit'));
alter table account_status add column customer_id uuid;
create type status_move as (after account_status, before account_status);

alter table program disable trigger user; -- nobody made a change that anybody is told of
alter table account_status disable trigger user;

-- Where units are key accounts already, they stay so: the program goes on counting units until a director decides.
update program set counts = 'unit'
 where exists (select from account_status s join account a on a.id = s.account_id
                where s.key_status in ('key', 'at_risk') and a.parent_id is not null);

with recursive tree as (
    select a.id, a.id as top from account a where a.parent_id is null or a.deleted_at is not null
    union all
    select a.id, t.top from account a join tree t on a.parent_id = t.id where a.deleted_at is null
)
update account_status s
   set customer_id = case when p.counts = 'customer' then t.top else s.account_id end
  from tree t, program p
 where t.id = s.account_id;
update account_status u
   set key_status = c.key_status, tier = c.tier, key_since = c.key_since, status_since = c.status_since, score = null,
       score_rank = null, contributions = '[]', missing = '{}', grace_until = null, designation = null,
       version = u.version + 1
  from account_status c
 where c.account_id = u.customer_id and u.customer_id <> u.account_id;

alter table program enable trigger user;
alter table account_status enable trigger user;

alter table account_status
    alter column customer_id set not null,
    add column holds_place boolean not null
        generated always as (key_status in ('key', 'at_risk') and customer_id = account_id) stored;
create index account_status_customer_id_idx on account_status (customer_id);
create index account_status_place_idx on account_status (account_id) where holds_place;
grant select (customer_id, holds_place) on account_status to kamd_app;
