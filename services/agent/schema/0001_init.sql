-- Jobs and what they found, who is told of them, and copies of what other services know.

create table jobs (
  organization_id uuid not null,
  job_id uuid not null,
  invoice_id uuid not null,
  state int not null,
  steps bytea[] not null default '{}',
  failure bytea,
  actor text not null,
  create_time timestamptz not null default now(),
  update_time timestamptz not null default now(),
  end_time timestamptz,
  version bigint not null default 1,
  -- The task that may run it, and the attempt of it that may write: others are too late.
  task_id uuid not null,
  task_attempt int not null default 0,
  -- Of the document, and as its sender said: who owes whom.
  content_type text not null,
  direction int not null,
  primary key (organization_id, job_id)
);
create index jobs_state on jobs (organization_id, state, job_id);
select protect('jobs', 'select, insert, update');

-- What a step of a job has found, as JSON, for the steps after it and for another attempt; gone
-- with the job's end.
create table step_results (
  organization_id uuid not null,
  job_id uuid not null,
  step text not null,
  result text not null,
  primary key (organization_id, job_id, step),
  foreign key (organization_id, job_id) references jobs
);
select protect('step_results');

-- What a model is asked, written before it is asked; the same question is answered once.
create table model_calls (
  organization_id uuid not null,
  job_id uuid not null,
  request_hash bytea not null,
  call_id uuid not null,
  model text not null,
  prompt_version text not null,
  answer text,
  input_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  latency_ms bigint not null default 0,
  error text not null default '',
  create_time timestamptz not null default now(),
  end_time timestamptz,
  primary key (organization_id, job_id, request_hash),
  foreign key (organization_id, job_id) references jobs
);
select protect('model_calls', 'select, insert, update');

create table webhooks (
  organization_id uuid not null,
  webhook_id uuid not null,
  url text not null,
  create_time timestamptz not null default now(),
  primary key (organization_id, webhook_id)
);
select protect('webhooks', 'select, insert, delete');

-- body: the job as it ended, in JSON.
create table deliveries (
  organization_id uuid not null,
  delivery_id uuid not null,
  recipient text not null,
  job_id uuid not null,
  state int not null,
  attempt int not null default 0,
  outcome text not null default '',
  body text not null,
  create_time timestamptz not null default now(),
  update_time timestamptz not null default now(),
  primary key (organization_id, delivery_id)
);
select protect('deliveries', 'select, insert, update');

create table notification_settings (
  organization_id uuid primary key,
  emails text[] not null default '{}',
  failures_only boolean not null default false
);
select protect('notification_settings', 'select, insert, update');

-- Who the organization itself is, as auth last said.
create table organizations (
  organization_id uuid primary key,
  display_name text not null,
  tax_ids text[] not null,
  base_currency_code text not null,
  version bigint not null
);
select protect('organizations', 'select, insert, update');

-- What is known of each invoice: with whom, its number and amount, where it was booked, and the bank
-- account that it is paid to. The other party is kept by name and by tax id, as keys.
create table known_invoices (
  organization_id uuid not null,
  invoice_id uuid not null,
  version bigint not null,
  direction int not null,
  name_key text not null,
  tax_key text not null,
  number_key text not null,
  issue_date date,
  gross numeric,
  gross_currency_code text,
  iban text not null,
  account_code text not null,
  -- A person has chosen the account, or approved the invoice with it.
  account_confirmed boolean not null,
  approved boolean not null,
  rejected boolean not null,
  update_time timestamptz not null,
  primary key (organization_id, invoice_id)
);
create index known_invoices_name on known_invoices (organization_id, name_key);
create index known_invoices_tax on known_invoices (organization_id, tax_key);
select protect('known_invoices', 'select, insert, update');
