-- An account has one scheduled review of each cadence. `continued`, as of follow-ups, says that the next review of the
-- series has been made: while a review is being completed, the next one is scheduled already. Where an account has
-- several already, the one that is due first counts, and the others are marked so, that they stay as they are.
-- min-binary: 52

alter table review add column continued boolean not null default false;

alter table review disable trigger user; -- the mark is no change that anybody is told of
update review r set continued = true
 where r.status = 'scheduled' and r.deleted_at is null
   and exists (select from review o
                where o.account_id = r.account_id and o.cadence = r.cadence and o.status = 'scheduled'
                  and o.deleted_at is null and (o.due_on, o.id) < (r.due_on, r.id));
alter table review enable trigger user;

create unique index review_account_id_cadence_key on review (account_id, cadence)
    where status = 'scheduled' and deleted_at is null and not continued;
