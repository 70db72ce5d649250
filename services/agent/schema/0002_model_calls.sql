-- What each call to a model has cost, and how much of it an organization allows itself in a month.

alter table model_calls add column cost numeric;
alter table model_calls add column cost_currency_code text;
create index model_calls_create_time on model_calls (organization_id, create_time);

create table model_budgets (
  organization_id uuid primary key,
  monthly_tokens_max bigint not null
);
select protect('model_budgets', 'select, insert, update');
