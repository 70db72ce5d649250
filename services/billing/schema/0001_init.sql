-- What organizations have subscribed to and have used, and what Stripe has told us.

create table subscriptions (
  organization_id uuid primary key,
  plan_code text not null,
  state int not null,
  period_end_time timestamptz,
  stripe_customer_id text not null default '',
  stripe_subscription_id text not null default '',
  -- Raised when a look at Stripe begins, so that an older look does not overwrite a newer one.
  look bigint not null default 0,
  version bigint not null default 1,
  update_time timestamptz not null default now()
);
select protect('subscriptions', 'select, insert, update');

-- Payments that were asked for; the id is Stripe's idempotency key.
create table checkouts (
  organization_id uuid not null,
  checkout_id uuid not null,
  plan_code text not null,
  url text not null default '',
  create_time timestamptz not null default now(),
  primary key (organization_id, checkout_id)
);
select protect('checkouts', 'select, insert, update');

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
