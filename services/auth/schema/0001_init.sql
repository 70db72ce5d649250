-- Persons, organizations, who belongs where, and what proves it.

-- A person's own rows are seen in a transaction that names the person in the organization's place.
create table users (
  user_id uuid primary key,
  email text not null,
  password_hash text not null,
  display_name text not null,
  locale text not null default 'en',
  time_zone text not null default 'UTC',
  picture_key text not null default '',
  version bigint not null default 1,
  create_time timestamptz not null default now()
);
create unique index users_email on users (lower(email));
alter table users enable row level security, force row level security;
create policy person on users
  using (user_id = (select nullif(current_setting('auditron.organization_id', true), '')::uuid))
  with check (user_id = (select nullif(current_setting('auditron.organization_id', true), '')::uuid));
select grant_app('users', 'select, insert, update');
select grant_lookup('users');

create table organizations (
  organization_id uuid primary key,
  display_name text not null,
  base_currency_code text not null,
  region_code text not null default '',
  tax_ids text[] not null default '{}',
  version bigint not null default 1,
  create_time timestamptz not null default now()
);
select protect('organizations', 'select, insert, update');

-- One for all members: who leaves and comes back goes on where the last version was.
create sequence member_versions;
select grant_app('member_versions', 'usage');

create table members (
  organization_id uuid not null,
  user_id uuid not null,
  role int not null,
  email text not null,
  display_name text not null,
  version bigint not null default nextval('member_versions'),
  create_time timestamptz not null default now(),
  primary key (organization_id, user_id)
);
create index members_user on members (user_id);
select protect('members');
select grant_lookup('members');

create table sessions (
  organization_id uuid not null,
  session_id uuid not null,
  user_id uuid not null,
  device_name text not null,
  ip_address text not null,
  refresh_hash bytea not null,
  rotation_count int not null default 0,
  create_time timestamptz not null default now(),
  refresh_time timestamptz not null default now(),
  expire_time timestamptz not null,
  revoke_time timestamptz,
  primary key (organization_id, session_id)
);
create index sessions_id on sessions (session_id);
create index sessions_user on sessions (organization_id, user_id, session_id);
create index sessions_revoked on sessions (revoke_time) where revoke_time is not null;
select protect('sessions', 'select, insert, update');
select grant_lookup('sessions');

create table api_keys (
  organization_id uuid not null,
  api_key_id uuid not null,
  display_name text not null,
  permissions text[] not null,
  prefix text not null,
  creator text not null,
  expire_time timestamptz,
  create_time timestamptz not null default now(),
  last_use_time timestamptz,
  revoke_time timestamptz,
  primary key (organization_id, api_key_id)
);
create index api_keys_id on api_keys (api_key_id);
create index api_keys_revoked on api_keys (revoke_time) where revoke_time is not null;
select protect('api_keys', 'select, insert, update');
select grant_lookup('api_keys');

create table invites (
  organization_id uuid not null,
  invite_id uuid not null,
  email text not null,
  role int not null,
  create_time timestamptz not null default now(),
  expire_time timestamptz not null,
  accept_time timestamptz,
  primary key (organization_id, invite_id)
);
create index invites_id on invites (invite_id);
select protect('invites', 'select, insert, update');
select grant_lookup('invites');

create table audit_entries (
  organization_id uuid not null,
  audit_entry_id uuid not null,
  action text not null,
  actor text not null,
  subject text not null,
  ip_address text not null,
  request_id text not null,
  occur_time timestamptz not null default now(),
  primary key (organization_id, audit_entry_id)
);
select protect('audit_entries', 'select, insert');

-- Wrong passwords by the hash of the address, known or not, so that neither can be told apart; once
-- together with the client's network, once without.
create table login_attempts (
  attempt_key bytea primary key,
  failures int not null,
  next_time timestamptz not null,
  -- The right password came from this network.
  proven boolean not null default false
);
select grant_app('login_attempts', 'select, insert, update, delete');

-- The keys that access tokens are signed with; private keys are sealed.
create table signing_keys (
  key_id text primary key,
  sealed_key bytea not null,
  public_key jsonb not null,
  create_time timestamptz not null default now(),
  activate_time timestamptz not null,
  retire_time timestamptz not null
);
select grant_app('signing_keys', 'select, insert, delete');

-- Look-ups before the person or the organization is known.
create function find_user(address text) returns uuid
language sql stable security definer as $$
  select user_id from users where lower(email) = lower(address)
$$;

create function organizations_of(person uuid) returns table (organization_id uuid)
language sql stable security definer as $$
  select m.organization_id from members m where m.user_id = person
  order by m.create_time, m.organization_id limit 1000
$$;

create function find_session(id uuid) returns uuid
language sql stable security definer as $$
  select organization_id from sessions where session_id = id
$$;

create function find_api_key(id uuid) returns uuid
language sql stable security definer as $$
  select organization_id from api_keys where api_key_id = id
$$;

create function find_invite(id uuid) returns uuid
language sql stable security definer as $$
  select organization_id from invites where invite_id = id
$$;

create function revoked_since(instant timestamptz) returns table (session_id uuid)
language sql stable security definer as $$
  select s.session_id from sessions s where s.revoke_time > instant
  union all
  select k.api_key_id from api_keys k where k.revoke_time > instant
$$;

create function unnamed_pictures(keys text[]) returns table (key text)
language sql stable security definer as $$
  select k from unnest(keys) k where not exists (select from users where picture_key = k)
$$;

do $$
declare
  signature text;
begin
  foreach signature in array array[
    'find_user(text)', 'organizations_of(uuid)', 'find_session(uuid)', 'find_api_key(uuid)',
    'find_invite(uuid)', 'revoked_since(timestamptz)', 'unnamed_pictures(text[])'
  ] loop
    execute format('alter function %s set search_path = %I, pg_temp', signature, current_schema());
    execute format('revoke all on function %s from public', signature);
    execute format('grant execute on function %s to %I', signature, current_schema() || '_app');
  end loop;
end
$$;
