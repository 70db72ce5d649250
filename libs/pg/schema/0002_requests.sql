-- Answers already given, by the caller's own id of the request (AIP-155).
create table requests (
  organization_id uuid not null,
  request_id uuid not null,
  method text not null,
  request_hash bytea not null,
  answer bytea,
  create_time timestamptz not null default now(),
  primary key (organization_id, request_id)
);
create index requests_create_time on requests (create_time);
select protect('requests', 'select, insert, update');
select grant_system('requests', 'select, delete');
