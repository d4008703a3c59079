-- Whom to alert about a key account where nobody else is left, and whether a manager has one key customer at most.
-- min-binary: 48

alter table program_settings
    add column fallback_alert_user_id uuid constraint program_settings_fallback_alert_user_id_fkey references app_user,
    add column one_key_customer_per_manager boolean not null default false;
