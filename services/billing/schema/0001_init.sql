-- What organizations have subscribed to and have used, and what Stripe has told us.

create table subscriptions (
  organization_id uuid primary key,
  plan_code text not null,
  state int not null,
  period_end_time timestamptz,
  -- What it is at Stripe; empty for a free one.
  stripe_customer_id text not null default '',
  stripe_subscription_id text not null default '',
  stripe_create_time timestamptz,
  version bigint not null default 1,
  update_time timestamptz not null default now()
);
select protect('subscriptions', 'select, insert, update');

-- How often each subscription at Stripe was looked at, counted when a look begins, so that an older
-- look does not overwrite a newer one at the same subscription.
create table looks (
  organization_id uuid not null,
  stripe_subscription_id text not null,
  look bigint not null default 1,
  primary key (organization_id, stripe_subscription_id)
);
select protect('looks', 'select, insert, update');

-- What is asked of Stripe, noted before; the id is Stripe's idempotency key.
create table plan_changes (
  organization_id uuid not null,
  plan_change_id uuid not null,
  plan_code text not null,
  -- What changes; empty where a checkout begins a subscription.
  stripe_subscription_id text not null,
  checkout_session_id text not null default '',
  checkout_url text not null default '',
  -- DONE: Stripe has done it, a checkout can be paid. CLOSED: a checkout that can be paid no more.
  state text not null default 'ASKED' check (state in ('ASKED', 'DONE', 'CLOSED')),
  create_time timestamptz not null default now(),
  primary key (organization_id, plan_change_id)
);
select protect('plan_changes', 'select, insert, update');

-- Documents that were counted, so that none counts twice.
create table documents (
  organization_id uuid not null,
  invoice_id uuid not null,
  primary key (organization_id, invoice_id)
);
select protect('documents', 'select, insert');

create table usage (
  organization_id uuid not null,
  start_date date not null,
  document_count int not null,
  primary key (organization_id, start_date)
);
select protect('usage', 'select, insert, update');

-- Ids of the webhooks that were taken; what they say is fetched from Stripe.
create table stripe_events (
  event_id text primary key,
  create_time timestamptz not null default now()
);
select grant_app('stripe_events', 'select, insert, delete');
