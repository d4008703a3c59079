-- A plan may go on from another one of its account.
-- min-binary: 56

alter table plan add column copy_from uuid,
    add constraint plan_copy_from_fkey foreign key (copy_from, account_id) references plan (id, account_id) deferrable;
