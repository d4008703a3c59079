-- Which interactions are a contact that we made with the customer is one stored fact: attention, cadence, health, last
-- interactions and promises to stay in touch all read it (interaction_is_contact() in schema/first.sql).
-- min-binary: 48

alter table interaction add column direction text;
alter table interaction disable trigger user; -- nobody made a change that anybody is told of
update interaction set direction = interaction_direction(kind);
alter table interaction enable trigger user;
alter table interaction
    alter column direction set not null,
    add column is_contact boolean not null
        generated always as (interaction_is_contact(kind, direction, order_taking)) stored;

drop index interaction_channel_idx;
create index interaction_channel_idx on interaction (account_id, channel, occurred_at desc)
    where deleted_at is null and is_contact;

-- cadence_state() is contact_promises() now.
drop function if exists cadence_state(date, uuid, boolean);

-- expectation_ratings() is buyer_ratings() now, of many accounts.
drop function if exists expectation_ratings(uuid);

-- Health is about the relationship: also what the customer is worth to us, what we promised, how the customer rates us,
-- and whether we meet those who decide. Weights that somebody has set stay.
alter table program_settings alter column health_metrics set default
    '[{"metric": "growth", "weight": "15", "floor": "-0.5", "ceiling": "0.5"},
      {"metric": "profitability", "weight": "15", "floor": "0", "ceiling": "0.3"},
      {"metric": "days_since_interaction", "weight": "10", "floor": "14", "ceiling": "180"},
      {"metric": "cadence_adherence", "weight": "10", "floor": "0", "ceiling": "1"},
      {"metric": "decision_maker_coverage", "weight": "15", "floor": "0", "ceiling": "1"},
      {"metric": "sentiment", "weight": "10", "floor": "-1", "ceiling": "1"},
      {"metric": "promises_kept", "weight": "5", "floor": "0", "ceiling": "1"},
      {"metric": "expectations", "weight": "5", "floor": "1", "ceiling": "5"},
      {"metric": "open_problems", "weight": "10", "floor": "0", "ceiling": "10"},
      {"metric": "complaint_load", "weight": "5", "floor": "0", "ceiling": "12"}]';
alter table program_settings disable trigger user;
update program_settings set health_metrics = default
 where health_metrics = '[{"metric": "growth", "weight": "20", "floor": "-0.5", "ceiling": "0.5"},
      {"metric": "days_since_interaction", "weight": "20", "floor": "14", "ceiling": "180"},
      {"metric": "cadence_adherence", "weight": "15", "floor": "0", "ceiling": "1"},
      {"metric": "sentiment", "weight": "15", "floor": "-1", "ceiling": "1"},
      {"metric": "open_problems", "weight": "20", "floor": "0", "ceiling": "10"},
      {"metric": "complaint_load", "weight": "10", "floor": "0", "ceiling": "12"}]';
alter table program_settings enable trigger user;
