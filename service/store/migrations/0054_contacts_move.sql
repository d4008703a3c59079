-- A contact may change its account; what was recorded of it below the account before stays there and still refers to
-- it. That a record refers to a contact of its own account is asked where the reference comes in.
-- min-binary: 54

alter table need drop constraint need_contact_id_fkey,
    add constraint need_contact_id_fkey foreign key (contact_id) references contact deferrable;
alter table follow_up drop constraint follow_up_contact_id_fkey,
    add constraint follow_up_contact_id_fkey foreign key (contact_id) references contact deferrable;
alter table problem drop constraint problem_contact_id_fkey,
    add constraint problem_contact_id_fkey foreign key (contact_id) references contact deferrable;
alter table commitment drop constraint commitment_made_to_contact_id_fkey,
    add constraint commitment_made_to_contact_id_fkey foreign key (made_to_contact_id) references contact deferrable;
alter table expectation_rating drop constraint expectation_rating_contact_id_fkey,
    add constraint expectation_rating_contact_id_fkey foreign key (contact_id) references contact deferrable;
