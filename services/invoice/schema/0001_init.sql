-- Invoices and their documents, the approval policy, and copies of what other services decide.

create table invoices (
  organization_id uuid not null,
  invoice_id uuid not null,
  state int not null,
  direction int not null,
  document_type int not null,
  invoice_number text not null,
  supplier bytea,
  customer bytea,
  issue_date date,
  due_date date,
  net numeric,
  tax numeric,
  gross numeric,
  paid numeric,
  currency_code text,
  tax_subtotals bytea[] not null,
  lines bytea[] not null,
  order_reference text not null,
  account_code text not null,
  document bytea,
  job_id uuid,
  readings bytea[] not null,
  warnings text[] not null,
  reading_failure text not null,
  decisions bytea[] not null,
  creator text not null,
  create_time timestamptz not null default now(),
  update_time timestamptz not null default now(),
  version bigint not null default 1,
  -- The fields that a person, or the sender of the document, has set: no reading changes them.
  confirmed_fields text[] not null,
  -- Of the warnings those that came with the reading.
  reading_warnings text[] not null,
  last_editor text not null,
  -- The counterparty by name and by tax id, each with the number: what a duplicate has in common.
  name_key text,
  tax_key text,
  -- Its words, each behind the end of the organization's id: a search in the index touches the
  -- words of one organization and no others.
  search tsvector not null,
  -- Its size in a list, that is without readings.
  list_bytes int not null,
  primary key (organization_id, invoice_id)
);
create index invoices_state on invoices (organization_id, state, invoice_id);
create index invoices_name_key on invoices (organization_id, name_key) where name_key is not null;
create index invoices_tax_key on invoices (organization_id, tax_key) where tax_key is not null;
-- APPROVED, PARTLY_PAID, PAID: of those there are no duplicates.
create unique index invoices_approved_name on invoices (organization_id, name_key)
  where state in (3, 5, 6);
create unique index invoices_approved_tax on invoices (organization_id, tax_key)
  where state in (3, 5, 6);
create index invoices_search on invoices using gin (search);
select protect('invoices', 'select, insert, update');
select grant_lookup('invoices');

-- The ids of one page of a search, newest first. The organization is the transaction's own; the
-- function only lets the search use its index: under row-level security PostgreSQL would look at
-- every row of the organization, because it does not trust the operator @@ with rows of others.
-- $1: tsquery; $2: ids before this one; $3: states; $4: direction; $5, $6: first and last issue
-- date (each null: all); $7: how many at most.
create function find_invoices(text, uuid, int[], int, date, date, int) returns setof uuid
language sql stable security definer as $$
  with found as materialized (
    select invoice_id from invoices
    where search @@ $1::tsquery
      and organization_id = nullif(current_setting('auditron.organization_id', true), '')::uuid
      and ($2 is null or invoice_id < $2)
      and ($3 is null or state = any ($3))
      and ($4 is null or direction = $4)
      and ($5 is null or issue_date >= $5)
      and ($6 is null or issue_date <= $6)
  )
  select invoice_id from found order by invoice_id desc limit least($7, 1001)
$$;

create table documents (
  organization_id uuid not null,
  document_id uuid not null,
  invoice_id uuid not null,
  filename text not null,
  content_type text not null,
  size_bytes bigint not null,
  sha256 text not null,
  create_time timestamptz not null default now(),
  primary key (organization_id, document_id),
  unique (organization_id, sha256),
  foreign key (organization_id, invoice_id) references invoices deferrable initially deferred
);
select protect('documents', 'select, insert');
select grant_lookup('documents');

-- Of objects found in the store, those that no document names.
create function unnamed_documents(organization_ids uuid[], document_ids uuid[])
returns table (organization_id uuid, document_id uuid)
language sql stable security definer as $$
  select o, d from unnest(organization_ids, document_ids) as given (o, d)
  where not exists (
    select from documents n where n.organization_id = given.o and n.document_id = given.d)
$$;

-- Documents of a calendar month in UTC.
create table document_counts (
  organization_id uuid not null,
  month date not null,
  document_count int not null,
  primary key (organization_id, month)
);
select protect('document_counts', 'select, insert, update');

-- What the plan allows, as billing last said.
create table entitlements (
  organization_id uuid primary key,
  documents_per_month int not null,
  version bigint not null
);
select protect('entitlements', 'select, insert, update');

create table approval_policies (
  organization_id uuid primary key,
  auto_approve_confidence double precision not null,
  auto_approve_limit numeric,
  auto_approve_limit_currency_code text,
  second_person_required boolean not null,
  version bigint not null default 1
);
select protect('approval_policies', 'select, insert, update');

-- How much of an invoice a match pays, as of a version of the match; 0 once it is undone.
create table payments (
  organization_id uuid not null,
  invoice_id uuid not null,
  match_id uuid not null,
  amount numeric not null,
  version bigint not null,
  primary key (organization_id, invoice_id, match_id)
);
select protect('payments', 'select, insert, update');

do $$
declare
  signature text;
begin
  foreach signature in array array[
    'find_invoices(text, uuid, int[], int, date, date, int)', 'unnamed_documents(uuid[], uuid[])'
  ] loop
    execute format('alter function %s set search_path = %I, pg_temp', signature, current_schema());
    execute format('revoke all on function %s from public', signature);
    execute format('grant execute on function %s to %I', signature, current_schema() || '_app');
  end loop;
end
$$;
