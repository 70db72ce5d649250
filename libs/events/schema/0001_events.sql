-- The service's own facts, their order, and how far the service has followed the facts of others.

-- Each row is written once by a request and once more by the relay, which gives it its position.
create table events (
  seq bigint generated always as identity primary key,
  event_id uuid not null,
  organization_id uuid not null,
  partition smallint not null
    generated always as (get_byte(uuid_send(organization_id), 15) & 15) stored,
  position bigint,
  aggregate_type text not null,
  aggregate_id text not null,
  aggregate_version bigint not null,
  occur_time timestamptz not null default now(),
  actor text not null,
  traceparent text not null,
  request_id text not null,
  payload bytea not null -- google.protobuf.Any
);
-- Found by the relay and by those who follow. A position is given by the relay alone, so that no
-- organization learns from this key what another has.
create unique index events_position on events (partition, position) where position is not null;
create index events_unpositioned on events (seq) where position is null;
select protect('events', 'select, insert (event_id, organization_id, aggregate_type, aggregate_id,
  aggregate_version, actor, traceparent, request_id, payload)');
select grant_system('events', 'select, update (position)');

-- The last position given in each partition, and the last that was told to the live streams.
create table heads (
  partition smallint primary key,
  position bigint not null default 0,
  published_position bigint not null default 0
);
insert into heads (partition) select generate_series(0, 15);
select grant_system('heads', 'select, update');

-- Whether the relay waits to be woken. One row. While it does not, who appends need not notify: a
-- notification takes a lock that all committing transactions of the cluster share.
create table relay (asleep boolean not null);
insert into relay values (true);
select grant_app('relay', 'select');
select grant_system('relay', 'select, update');

-- The lives of this log. A restored backup or a replica that took over begins a new one, because it
-- may give out positions again that those who follow know already; `positions` are the heads then.
create table generations (
  number int generated always as identity primary key,
  generation_id uuid not null default gen_random_uuid(),
  origin text not null,
  positions bigint[] not null,
  create_time timestamptz not null default now()
);
select grant_system('generations', 'select, insert (origin, positions)');

-- How far this service has handled the facts of others.
create table cursors (
  producer text not null,
  consumer text not null,
  partition smallint not null,
  position bigint not null default 0,
  generation_id text not null default '',
  primary key (producer, consumer, partition)
);
select grant_app('cursors', 'select, insert, update');

-- Facts of others that could not be handled; `replay_time` says when one was handled after all.
create table dead_letters (
  organization_id uuid not null,
  producer text not null,
  consumer text not null,
  event_id uuid not null,
  event bytea not null,
  tries int not null,
  error text not null,
  create_time timestamptz not null default now(),
  replay_time timestamptz,
  primary key (organization_id, producer, consumer, event_id)
);
select protect('dead_letters');
select grant_system('dead_letters', 'select');
