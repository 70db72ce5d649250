-- Functions that migrations call to say who may do what with a table. They find the service's roles
-- by the schema's name, so that this file and those of other libs serve every schema.

-- Guards a table that holds customers' data and opens it to the service's app role. The table has a
-- column organization_id; a transaction sees and writes the rows of its own organization alone, and
-- none at all if it names no organization. The setting is read in a sub-select so that it is read
-- once a query, after the organization was set, and so that the planner expects rows to be there.
-- The owner is bound by it too: a migration that changes rows of every organization first says
-- "alter table ... no force row level security", and "force" again at its end.
create function protect(table_name text, privileges text default 'select, insert, update, delete')
returns void language plpgsql as $$
declare
  own constant text :=
    'organization_id = (select nullif(current_setting(''auditron.organization_id'', true), '''')::uuid)';
begin
  execute format('alter table %I enable row level security, force row level security', table_name);
  execute format('create policy tenant on %I using (%s) with check (%s)', table_name, own, own);
  perform grant_app(table_name, privileges);
end
$$;

-- Opens a table to the app role without a guard: for tables without customers' data.
create function grant_app(table_name text, privileges text)
returns void language plpgsql as $$
begin
  execute format('grant %s on %I to %I', privileges, table_name, current_schema() || '_app');
end
$$;

-- Opens a table to the system role, which works across organizations (relay, task claim): there it
-- sees the rows of all of them.
create function grant_system(table_name text, privileges text)
returns void language plpgsql as $$
declare
  role constant text := current_schema() || '_system';
begin
  execute format('create policy system on %I to %I using (true) with check (true)', table_name, role);
  execute format('grant %s on %I to %I', privileges, table_name, role);
end
$$;

-- Lets the SECURITY DEFINER functions of this schema read every row of a guarded table, for look-ups
-- before the organization is known (login, API key, webhook). They return ids and nothing else.
create function grant_lookup(table_name text)
returns void language plpgsql as $$
begin
  execute format(
    'create policy lookup on %I for select to %I using (true)', table_name, current_schema() || '_owner');
end
$$;
