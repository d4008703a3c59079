-- How many occurrences of its series passed before a follow-up while nobody was told of them.
-- min-binary: 53

alter table follow_up add column missed_occurrences int not null default 0;
