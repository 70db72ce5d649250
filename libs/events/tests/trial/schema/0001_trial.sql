-- What the tests write as a producer and as a consumer.
create table accounts (
  organization_id uuid not null,
  account_id text not null,
  version bigint not null default 0,
  primary key (organization_id, account_id)
);
select protect('accounts');
create table effects (
  number bigint generated always as identity primary key,
  organization_id uuid not null,
  event_id uuid not null,
  account_id text not null,
  version bigint not null,
  amount numeric not null
);
select protect('effects');
