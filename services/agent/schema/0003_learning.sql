-- What persons' corrections and approvals teach: where each supplier's values stand on its
-- documents, how often each field was read rightly, and how many errors an organization allows.

-- Found by tax id, bank account or name, as keys; '' where it is not known. hints: JSON, by field.
create table suppliers (
  organization_id uuid not null,
  supplier_id uuid not null,
  display_name text not null,
  name_key text not null,
  tax_key text not null,
  iban text not null,
  hints text not null default '{}',
  update_time timestamptz not null default now(),
  primary key (organization_id, supplier_id)
);
create index suppliers_name on suppliers (organization_id, name_key);
create index suppliers_tax on suppliers (organization_id, tax_key);
create index suppliers_iban on suppliers (organization_id, iban);
select protect('suppliers', 'select, insert, update');

-- What was read in a field of an invoice, what was made of it (automatic, suggested, manual), and
-- once a person has approved the invoice, whether it was right. supplier_id is all zeros as long
-- as the supplier is not known.
create table field_outcomes (
  organization_id uuid not null,
  invoice_id uuid not null,
  field text not null,
  supplier_id uuid not null,
  value text not null,
  source int not null,
  confidence double precision not null,
  handling text not null,
  is_right boolean,
  check_time timestamptz,
  primary key (organization_id, invoice_id, field)
);
create index field_outcomes_supplier
  on field_outcomes (organization_id, supplier_id, field, check_time desc);
create index field_outcomes_checked
  on field_outcomes (organization_id, field, check_time desc) where check_time is not null;
select protect('field_outcomes', 'select, insert, update');

create table automation_settings (
  organization_id uuid primary key,
  error_max double precision not null,
  sample_share double precision not null
);
select protect('automation_settings', 'select, insert, update');
