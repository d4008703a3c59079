-- Sign-in: keys that are rotated with an overlap, and people by the identity provider's `sub`.

-- A rotated key keeps its id, and so its history and its name as an OAuth client; its text before lives on until previous_until.
alter table api_key
    add column secret_no int not null default 1, -- counts rotations: access tokens end with the secret that they were had for
    add column previous_hash bytea constraint api_key_previous_hash_key unique,
    add column previous_until timestamptz,
    add column rotated_at timestamptz,
    add constraint api_key_previous_check check ((previous_hash is null) = (previous_until is null));

-- What a request may be signed with now: not revoked, not expired, and not of a user who has left.
create view live_key with (security_invoker = true) as
select k.id, s.hash, s.secret_no, k.name, k.role, k.scopes, k.user_id, least(k.expires_at, s.ends_at) as ends_at
  from api_key k left join app_user u on u.id = k.user_id
  cross join lateral (values (k.hash, k.secret_no, null::timestamptz), (k.previous_hash, k.secret_no - 1, k.previous_until)) s (hash, secret_no, ends_at)
 where s.hash is not null and k.revoked_at is null and (k.expires_at is null or k.expires_at > now()) and (s.ends_at is null or s.ends_at > now())
   and (k.user_id is null or (u.active and u.deleted_at is null));
revoke insert, update on live_key from kamd_app, kamd_worker;

-- Also those that were deleted: they do not come back by signing in again.
create index app_user_subject_idx on app_user (subject);

-- Whoever ends somebody's access is answered once no process lets them in any more (as of kamd.touched, which names cache entries).
create function note_revocation() returns trigger language plpgsql as $$
begin
    perform set_config('kamd.revoked', 'yes', true);
    return null;
end $$;
create trigger revoked after update on app_user for each row
    when ((old.active and not new.active) or (old.deleted_at is null and new.deleted_at is not null) or old.subject is distinct from new.subject)
    execute function note_revocation();
create trigger revoked after update on api_key for each row
    when ((old.revoked_at is null and new.revoked_at is not null)
        or (old.secret_no <> new.secret_no and (new.previous_hash is null or old.previous_until > now())))
    execute function note_revocation();
