-- The ledger, what it is posted from, and the reports written of it.

-- A copy of auth's organizations, and the number of each one's last journal entry.
create table organizations (
  organization_id uuid primary key,
  display_name text not null,
  base_currency_code text not null,
  version bigint not null,
  last_entry_number bigint not null default 0
);
select protect('organizations', 'select, insert, update');

-- An account that has postings keeps its meaning, so none is changed or taken away.
create table accounts (
  organization_id uuid not null,
  account_code text not null,
  display_name text not null,
  type int not null,
  primary key (organization_id, account_code)
);
select protect('accounts', 'select, insert');

create table journal_entries (
  organization_id uuid not null,
  number bigint not null check (number > 0),
  journal_entry_id uuid not null,
  posting_date date not null,
  description text not null,
  source_type text not null,
  source_id text not null,
  -- The version of the source that the entry was posted from: one fact is posted once.
  source_version bigint not null,
  reversed_entry_id uuid,
  -- So that no posting can be added later.
  posting_count int not null check (posting_count >= 2),
  create_time timestamptz not null default now(),
  primary key (organization_id, number),
  unique (organization_id, journal_entry_id),
  unique (organization_id, source_type, source_id, source_version),
  unique (organization_id, reversed_entry_id),
  foreign key (organization_id, reversed_entry_id)
    references journal_entries (organization_id, journal_entry_id)
);
select protect('journal_entries', 'select, insert');

create table postings (
  organization_id uuid not null,
  entry_number bigint not null,
  line int not null,
  posting_date date not null,
  account_code text not null,
  amount numeric not null,
  original_amount numeric not null,
  original_amount_currency_code text not null,
  counterparty text not null,
  -- On payables and receivables: whose balance this changes.
  invoice_id uuid,
  -- A reversal takes its amount out of the side on which the reversed posting stands.
  is_reversal boolean not null,
  primary key (organization_id, entry_number, line),
  foreign key (organization_id, entry_number) references journal_entries,
  foreign key (organization_id, account_code) references accounts
);
create index postings_account on postings (organization_id, account_code, entry_number)
  include (posting_date, amount, is_reversal);
create index postings_invoice on postings (organization_id, invoice_id) where invoice_id is not null;
select protect('postings', 'select, insert');

-- What is wrong with an entry, null if nothing is.
create function entry_problem(organization uuid, entry bigint) returns text
language sql stable as $$
  select case
    when e.number is null then 'is of another organization than the transaction'
    when e.number > 1 and not exists (
      select from journal_entries b where b.organization_id = organization and b.number = entry - 1
    ) then 'leaves a gap before it'
    when s.lines <> e.posting_count then 'has other postings than it was made with'
    when s.total <> 0 then 'is out of balance by ' || s.total
    when (s.first_day, s.last_day) <> (e.posting_date, e.posting_date) then 'has postings of another day'
  end
  from (
    select count(*) as lines, coalesce(sum(p.amount), 0) as total, min(p.posting_date) as first_day,
      max(p.posting_date) as last_day
    from postings p where p.organization_id = organization and p.entry_number = entry
  ) s
  left join journal_entries e on e.organization_id = organization and e.number = entry
$$;

-- An entry and its postings are made by one statement and are checked at its end: later, a
-- transaction may be that of another organization, and so see nothing to check.
create function check_entry() returns trigger language plpgsql as $$
declare
  problem constant text := entry_problem(new.organization_id, new.number);
begin
  if problem is not null then
    raise integrity_constraint_violation using message = format('entry %s %s', new.number, problem);
  end if;
  return null;
end
$$;
create trigger journal_entries_balance after insert on journal_entries
  for each row execute function check_entry();

create function check_postings() returns trigger language plpgsql as $$
declare
  bad record;
begin
  select entry_number, problem into bad
  from (
    select a.entry_number, entry_problem(a.organization_id, a.entry_number) as problem
    from (select distinct organization_id, entry_number from added) a
  ) checked
  where problem is not null limit 1;
  if found then
    raise integrity_constraint_violation
      using message = format('entry %s %s', bad.entry_number, bad.problem);
  end if;
  return null;
end
$$;
create trigger postings_balance after insert on postings
  referencing new table as added for each statement execute function check_postings();

-- A copy of what matches need to know of invoices, as of their last approval.
create table open_items (
  organization_id uuid not null,
  invoice_id uuid not null,
  version bigint not null,
  -- False while it is back in review.
  is_approved boolean not null,
  direction int not null,
  document_type int not null,
  invoice_number text not null,
  counterparty text not null,
  due_date date not null,
  currency_code text not null,
  gross numeric not null,
  tax numeric not null,
  -- In the base currency, as it was posted.
  gross_base numeric not null,
  primary key (organization_id, invoice_id)
);
select protect('open_items', 'select, insert, update');

-- Facts that could not be posted, with the event to try again, in the order in which they came.
create table posting_rejections (
  organization_id uuid not null,
  sequence bigint generated always as identity,
  source_type text not null,
  source_id text not null,
  source_version bigint not null,
  reason text not null,
  message text not null,
  event bytea not null,
  create_time timestamptz not null default now(),
  primary key (organization_id, sequence),
  unique (organization_id, source_type, source_id)
);
select protect('posting_rejections');

-- What has to come before a rejected fact can be posted, as "rate:USD" or "invoice:ID".
create table posting_needs (
  organization_id uuid not null,
  need text not null,
  sequence bigint not null,
  primary key (organization_id, need, sequence),
  foreign key (organization_id, sequence) references posting_rejections on delete cascade
);
create index posting_needs_sequence on posting_needs (organization_id, sequence);
select protect('posting_needs');

-- Every rate that was ever set, so that a replay finds those of its day: the latest of a day counts.
create table exchange_rates (
  organization_id uuid not null,
  currency_code text not null,
  rate_date date not null,
  set_time timestamptz not null default clock_timestamp(),
  rate numeric not null check (rate > 0),
  actor text not null,
  primary key (organization_id, currency_code, rate_date, set_time)
);
select protect('exchange_rates', 'select, insert');

create table reports (
  organization_id uuid not null,
  report_id uuid not null,
  state int not null,
  kind int not null,
  format int not null,
  start_date date,
  end_date date not null,
  filename text not null default '',
  size_bytes bigint not null default 0,
  failure bytea,
  version bigint not null default 1,
  create_time timestamptz not null default now(),
  primary key (organization_id, report_id)
);
select protect('reports', 'select, insert, update');
