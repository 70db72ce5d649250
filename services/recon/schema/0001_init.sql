-- Bank accounts, statements, transactions, matches, and the copy of open invoices.

create table bank_accounts (
  organization_id uuid not null,
  bank_account_id uuid not null,
  display_name text not null,
  iban text not null,
  currency_code text not null,
  account_code text not null,
  create_time timestamptz not null default now(),
  -- The one statement that is compared with what is there and then goes over, until its end.
  importing_statement_id uuid,
  primary key (organization_id, bank_account_id)
);
create unique index bank_accounts_iban on bank_accounts (organization_id, iban) where iban <> '';
select protect('bank_accounts', 'select, insert, update');

create table statements (
  organization_id uuid not null,
  statement_id uuid not null,
  bank_account_id uuid not null,
  state int not null,
  filename text not null,
  format text not null,
  size_bytes bigint not null,
  sha256 text not null,
  opening_balance numeric,
  closing_balance numeric,
  currency_code text not null,
  start_date date,
  end_date date,
  transaction_count int not null default 0,
  imported_count int not null default 0,
  warnings text[] not null default '{}',
  failure text not null default '',
  create_time timestamptz not null default now(),
  version bigint not null default 1,
  -- Files of one layout write the same line in the same way.
  layout text not null default '',
  -- Whether the whole file lies in statement_lines.
  staged boolean not null default false,
  -- Whether the lines that are known from other files are out of it; then the rest goes over.
  compared boolean not null default false,
  primary key (organization_id, statement_id),
  foreign key (organization_id, bank_account_id) references bank_accounts
);
create index statements_bank_account on statements (organization_id, bank_account_id, statement_id);
select protect('statements', 'select, insert, update');
select grant_lookup('statements');

-- Of objects found in the store, those that no statement names.
create function unnamed_statements(organization_ids uuid[], statement_ids uuid[])
returns table (organization_id uuid, statement_id uuid)
language sql stable security definer as $$
  select o, s from unnest(organization_ids, statement_ids) as given (o, s)
  where not exists (
    select from statements n where n.organization_id = given.o and n.statement_id = given.s)
$$;

-- What lines of one day, amount and currency have in common. Under row-level security a comparison of
-- amounts does not reach an index, that of numbers like this one does.
create function sum_key(day date, amount numeric, currency_code text) returns bigint
language sql immutable as $$
  select hashtextextended(
    (day - date '2000-01-01')::text || ' ' || currency_code || ' ' || trim_scale(amount)::text, 0)
$$;

-- Lines of a file on their way to transactions; nobody sees them before its end is known to be sound.
create table statement_lines (
  organization_id uuid not null,
  statement_id uuid not null,
  number int not null,
  transaction_id uuid not null,
  booking_date date not null,
  value_date date not null,
  amount numeric not null,
  currency_code text not null,
  counterparty_name text not null,
  counterparty_iban text not null,
  remittance_text text not null,
  end_to_end_id text not null,
  bank_reference text not null,
  fingerprint bytea not null,
  primary key (organization_id, statement_id, number),
  foreign key (organization_id, statement_id) references statements
);
select protect('statement_lines', 'select, insert, delete');

create table matches (
  organization_id uuid not null,
  match_id uuid not null,
  state int not null,
  -- As the contract has them; the rows of `allocations` are the same for those who look from the
  -- invoice's side. Neither ever changes.
  allocations bytea[] not null,
  bank_amount numeric not null,
  difference numeric not null,
  currency_code text not null,
  difference_kind int not null,
  confidence double precision not null,
  reasons text[] not null,
  actor text not null,
  posting_date date not null,
  bank_account_id uuid not null,
  account_code text not null,
  -- The run that found it, or found it again; null: made by hand.
  reconciliation_id uuid,
  create_time timestamptz not null default now(),
  update_time timestamptz not null default now(),
  version bigint not null default 1,
  primary key (organization_id, match_id),
  foreign key (organization_id, bank_account_id) references bank_accounts
);
create index matches_state on matches (organization_id, state, match_id);
create index matches_reconciliation on matches (organization_id, reconciliation_id)
  where reconciliation_id is not null;
select protect('matches', 'select, insert, update');

create table transactions (
  organization_id uuid not null,
  transaction_id uuid not null,
  bank_account_id uuid not null,
  statement_id uuid not null,
  state int not null default 1,
  booking_date date not null,
  value_date date not null,
  amount numeric not null,
  currency_code text not null,
  counterparty_name text not null,
  counterparty_iban text not null,
  remittance_text text not null,
  end_to_end_id text not null,
  bank_reference text not null,
  -- The one match that holds it: no transaction is used twice.
  match_id uuid,
  -- The same for the same line in every file of one layout.
  fingerprint bytea not null,
  sum_key bigint not null generated always as (sum_key(booking_date, amount, currency_code)) stored,
  primary key (organization_id, transaction_id),
  unique (organization_id, bank_account_id, fingerprint),
  foreign key (organization_id, bank_account_id) references bank_accounts,
  foreign key (organization_id, statement_id) references statements,
  foreign key (organization_id, match_id) references matches,
  check ((state = 1) = (match_id is null))
);
create index transactions_booking on transactions (organization_id, booking_date, transaction_id);
create index transactions_bank_account
  on transactions (organization_id, bank_account_id, booking_date, transaction_id);
create index transactions_sum on transactions (organization_id, bank_account_id, sum_key);
create index transactions_state
  on transactions (organization_id, state, booking_date, transaction_id);
create index transactions_match on transactions (organization_id, match_id)
  where match_id is not null;
select protect('transactions', 'select, insert, update');

-- Which transactions a statement of another layout has as well, so that none stands for two lines.
create table sightings (
  organization_id uuid not null,
  statement_id uuid not null,
  transaction_id uuid not null,
  primary key (organization_id, statement_id, transaction_id),
  foreign key (organization_id, statement_id) references statements
);
select protect('sightings', 'select, insert');

create table allocations (
  organization_id uuid not null,
  match_id uuid not null,
  transaction_id uuid not null,
  invoice_id uuid not null,
  amount numeric not null,
  primary key (organization_id, match_id, transaction_id, invoice_id),
  foreign key (organization_id, match_id) references matches,
  foreign key (organization_id, transaction_id) references transactions
);
create index allocations_invoice on allocations (organization_id, invoice_id);
select protect('allocations', 'select, insert');

-- What invoice has told of invoices that were once approved.
create table open_invoices (
  organization_id uuid not null,
  invoice_id uuid not null,
  -- Whether it is approved; else it is back in review or rejected.
  standing boolean not null,
  direction text not null,
  kind text not null,
  number text not null,
  counterparty_name text not null,
  counterparty_iban text not null,
  currency_code text not null,
  gross numeric not null check (gross >= 0),
  -- By confirmed matches.
  settled numeric not null check (settled >= 0),
  -- What a match may still settle: never more than there is.
  open_amount numeric not null check (open_amount >= 0),
  issue_date date not null,
  due_date date not null,
  -- The invoice's own.
  version bigint not null,
  primary key (organization_id, invoice_id)
);
create index open_invoices_issue on open_invoices (organization_id, issue_date, invoice_id)
  where open_amount > 0;
select protect('open_invoices');

-- Pairs that a person has refused.
create table rejected_pairs (
  organization_id uuid not null,
  transaction_id uuid not null,
  invoice_id uuid not null,
  primary key (organization_id, transaction_id, invoice_id),
  foreign key (organization_id, transaction_id) references transactions
);
select protect('rejected_pairs', 'select, insert, delete');

create table reconciliations (
  organization_id uuid not null,
  reconciliation_id uuid not null,
  state int not null,
  confirmed_count int not null default 0,
  proposed_count int not null default 0,
  open_count int not null default 0,
  failure text not null default '',
  create_time timestamptz not null default now(),
  begin_time timestamptz,
  primary key (organization_id, reconciliation_id)
);
-- Of an organization one run waits at most: it will see whatever commits before it begins.
create unique index reconciliations_waiting on reconciliations (organization_id)
  where begin_time is null and state = 1;
select protect('reconciliations', 'select, insert, update');

-- Which run an organization is in the hands of, and until when if nothing is heard of it.
create table reconciling (
  organization_id uuid primary key,
  reconciliation_id uuid not null,
  until timestamptz not null
);
select protect('reconciling');

do $$
begin
  execute format(
    'alter function unnamed_statements(uuid[], uuid[]) set search_path = %I, pg_temp',
    current_schema());
  revoke all on function unnamed_statements(uuid[], uuid[]) from public;
  execute format(
    'grant execute on function unnamed_statements(uuid[], uuid[]) to %I',
    current_schema() || '_app');
end
$$;
