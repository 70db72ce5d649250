-- The record of what is to be done outside a request; Redis carries only the ids.

create table tasks (
  organization_id uuid not null,
  task_id uuid not null,
  kind text not null,
  payload bytea not null,
  state text not null default 'QUEUED' check (state in ('QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED')),
  attempt int not null default 0,
  max_attempts int not null check (max_attempts > 0),
  -- Not to be run before.
  run_time timestamptz not null,
  -- When a worker must look at the task again: waiting, it is to be handed out then; handed out, it
  -- may have been lost on the way; running, its lease ends. Null: finished.
  due_time timestamptz,
  owner text,
  error text not null default '',
  actor text not null,
  traceparent text not null,
  request_id text not null,
  create_time timestamptz not null default now(),
  finish_time timestamptz,
  primary key (organization_id, task_id)
);
create index tasks_due on tasks (due_time) where due_time is not null;
create index tasks_succeeded on tasks (finish_time) where state = 'SUCCEEDED';
select protect('tasks', 'select, insert');
select grant_system('tasks', 'select, update, delete');
