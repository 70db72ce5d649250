"""Reads from the catalog whether one tenant or one service could reach another's data."""

from collections.abc import Collection
from typing import Any

# How PostgreSQL writes the condition of protect(), without blanks.
_OWN_ROWS = (
    "(organization_id=(SELECT(NULLIF(current_setting('auditron.organization_id'::text,true),"
    "''::text))::uuidAS\"nullif\"))"
)

# One line of text for each problem. $1: the schema, $2: the indexes allowed, $3: _OWN_ROWS.
_PROBLEMS = """
with given as (
  select oid as namespace, nspname, nspowner, nspacl, (nspname || '_owner')::regrole::oid as owner,
    (nspname || '_app')::regrole::oid as app, (nspname || '_system')::regrole::oid as system
  from pg_namespace where nspname = $1
),
logins as (
  select r.* from given, pg_roles r where r.oid in (app, system)
),
relations as (
  select c.*, given.* from given join pg_class c on c.relnamespace = namespace
),
tenant_tables as (
  select c.* from relations c
  where relkind in ('r', 'p') and exists (
    select from pg_attribute where attrelid = c.oid and attname = 'organization_id')
),
functions as (
  select p.*, given.* from given join pg_proc p on p.pronamespace = namespace
),
granted as (
  select relname as what, a.grantee from relations, aclexplode(relacl) a
  union all
  select relname, a.grantee
  from relations r join pg_attribute on attrelid = r.oid, aclexplode(attacl) a
  union all
  select 'the schema', a.grantee from given, aclexplode(nspacl) a
)

-- Every table with an organization is guarded, by exactly the policy that protect() makes.
select relname || ': row-level security is not forced' from tenant_tables
where not (relrowsecurity and relforcerowsecurity)
union all
select relname || ': no policy as protect() makes it' from tenant_tables t
where not exists (
  select from pg_policy p
  where polrelid = t.oid and polname = 'tenant' and polcmd = '*' and polpermissive
    and polroles = '{0}' and pg_get_expr(polqual, t.oid) = pg_get_expr(polwithcheck, t.oid)
    and regexp_replace(pg_get_expr(polqual, t.oid), '\\s', '', 'g') = $3
)
-- Any other policy is for the system role, or lets the owner's look-up functions read.
union all
select relname || ': policy ' || polname || ' opens it to others'
from pg_policy p join relations c on c.oid = polrelid
where polpermissive and polname <> 'tenant'
  and not (polroles = array[system] or polroles = array[owner] and polcmd = 'r')
-- A unique key across organizations tells that a value exists; one that the server makes does not.
union all
select t.relname || ': unique index ' || i.relname || ' does not begin with organization_id'
from tenant_tables t
join pg_index x on indrelid = t.oid and indisunique
join pg_class i on i.oid = indexrelid
left join pg_attribute a on attrelid = t.oid and attnum = indkey[0]
where attname is distinct from 'organization_id'
  and not (indnkeyatts = 1 and coalesce(attidentity, '') = 'a') and i.relname <> all ($2::text[])
-- A foreign key is checked without row-level security, so it must hold the organization itself.
union all
select t.relname || ': foreign key ' || conname || ' leaves out organization_id'
from pg_constraint
join tenant_tables t on t.oid = conrelid
join tenant_tables r on r.oid = confrelid
where contype = 'f' and not exists (
  select from unnest(conkey, confkey) k (own, other)
  join pg_attribute a on a.attrelid = conrelid and a.attnum = own
  join pg_attribute b on b.attrelid = confrelid and b.attnum = other
  where a.attname = 'organization_id' and b.attname = 'organization_id'
)
-- What could show rows of a guarded table by another way.
union all
select relname || ': a view without security_invoker' from relations
where relkind = 'v' and not coalesce('security_invoker=true' = any (reloptions), false)
union all
select relname || ': a materialized view has no row-level security' from relations
where relkind = 'm'
union all
select proname || '(): SECURITY DEFINER without a search_path of its own' from functions
where prosecdef and not coalesce(array_to_string(proconfig, ',') ~ 'search_path=', false)
-- The owner owns all and cannot log in.
union all
select relname || ': owned by ' || relowner::regrole from relations
where relowner <> owner and relkind not in ('i', 'I')
union all
select proname || '(): owned by ' || proowner::regrole from functions where proowner <> owner
union all
select 'the schema: owned by ' || nspowner::regrole from given where nspowner <> owner
union all
select rolname || ': may log in' from given join pg_roles r on r.oid = owner where rolcanlogin
-- The login roles are nothing beyond themselves and make nothing.
union all
select rolname || ': has more rights than a service needs' from logins
where rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication
union all
select rolname || ': is a member of ' || m.roleid::regrole
from logins l join pg_auth_members m on m.member = l.oid
union all
select rolname || ': may make temporary tables' from logins
where has_database_privilege(oid, current_database(), 'temporary')
union all
select rolname || ': may make objects in schema ' || nspname from logins l, pg_namespace n
where nspname !~ '^pg_' and has_schema_privilege(l.oid, n.oid, 'create')
-- Neither they nor others have rights in a schema that is not theirs.
union all
select rolname || ': may use schema ' || nspname from logins l, pg_namespace n
where nspname not in ($1, 'public', 'information_schema') and nspname !~ '^pg_'
  and has_schema_privilege(l.oid, n.oid, 'usage')
union all
select what || ': open to ' || case grantee when 0 then 'public' else grantee::regrole::text end
from granted, given where grantee not in (owner, app, system)
"""


async def audit_isolation(
    con: Any, schema: str, *, allowed_indexes: Collection[str] = ()
) -> list[str]:
    """Return every way in which the schema departs from the rules of isolation, one line each.

    `con` is any connection that may read the catalog. A unique index that does not begin with
    organization_id is a problem, unless its only column is `generated always as identity` (nobody
    can choose a value to probe with) or the index is allowed here by name.
    """
    rows = await con.fetch(_PROBLEMS, schema, list(allowed_indexes), _OWN_ROWS)
    assert await con.fetchval("select to_regnamespace($1) is not null", schema), schema
    return sorted({row[0] for row in rows})
