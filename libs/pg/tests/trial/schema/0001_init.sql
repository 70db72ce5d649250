-- A service's tables of every kind, to try the lib on.
create table invoices (
  organization_id uuid not null,
  invoice_id uuid not null,
  number text not null,
  total numeric(14, 2) not null,
  currency_code text not null,
  issue_date date,
  create_time timestamptz not null default now(),
  primary key (organization_id, invoice_id),
  unique (organization_id, number)
);
select protect('invoices');

create table lines (
  organization_id uuid not null,
  invoice_id uuid not null,
  position int not null,
  amount numeric(14, 2) not null,
  primary key (organization_id, invoice_id, position),
  foreign key (organization_id, invoice_id) references invoices
);
select protect('lines');

create table tasks (
  organization_id uuid not null,
  task_id uuid not null,
  owner text,
  primary key (organization_id, task_id)
);
select protect('tasks', 'select, insert');
select grant_system('tasks', 'select, update (owner)');

create table cursors (producer text primary key, position bigint not null);
select grant_app('cursors', 'select, insert, update');

create table api_keys (
  organization_id uuid not null,
  api_key_id uuid not null,
  hash bytea not null,
  primary key (organization_id, api_key_id)
);
create index api_keys_hash on api_keys (hash);
select protect('api_keys');
select grant_lookup('api_keys');

create function api_key_organization(wanted bytea) returns table (organization_id uuid, api_key_id uuid)
language sql stable security definer set search_path = trial, pg_temp as $$
  select organization_id, api_key_id from api_keys where hash = wanted
$$;
