-- What the handlers of the tests write down.
create table runs (
  number bigint generated always as identity primary key,
  organization_id uuid not null,
  task_id uuid not null,
  attempt int not null,
  what text not null
);
select protect('runs');
