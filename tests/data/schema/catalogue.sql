-- What the catalogue says of kamd's schema, a line each, in an order of its own: equal texts are equal schemas.
-- The partitions of single days are one; numbers of columns that were dropped do not count.
with tables as (
    select c.oid, c.relkind, c.relowner, c.relacl, c.reloptions, c.relrowsecurity, c.relforcerowsecurity,
        c.relpersistence,
           regexp_replace(c.relname, '\d{8}', 'DAY') as name
      from pg_class c
     where c.relnamespace = 'public'::regnamespace
       and c.relkind in ('r', 'p', 'v', 'm', 'S', 'c')
       and not exists (select 1 from pg_depend d where d.objid = c.oid and d.deptype = 'e')
), granted as (
    select oid, kind, string_agg(pg_get_userbyid(grantee) || '=' || privilege_type || case when is_grantable then '*'
        else '' end, ' '
                                 order by pg_get_userbyid(grantee), privilege_type) as to_whom
      from (select t.oid, 'class' as kind, a.* from tables t
              cross join aclexplode(coalesce(t.relacl, acldefault(case when t.relkind = 'S' then 's'::"char" else 'r'
                  end, t.relowner))) a
            union all
            select p.oid, 'proc', a.* from pg_proc p
              cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
             where p.pronamespace = 'public'::regnamespace) g
     group by oid, kind
)
select distinct line from (select null::text as line where false union all
    select format('table %s kind %s owner %s options %s security %s%s %s grants %s', t.name, t.relkind,
        pg_get_userbyid(t.relowner),
                  t.reloptions, t.relrowsecurity, t.relforcerowsecurity, t.relpersistence, g.to_whom)
      from tables t left join granted g on g.oid = t.oid and g.kind = 'class'
    union all
    select
        format('column %s %s %s %s null %s default %s identity %s generated %s storage %s statistics %s grants %s comment %s',
                  t.name, lpad(row_number() over (partition by t.oid order by a.attnum)::text, 3), a.attname,
                  format_type(a.atttypid, a.atttypmod), not a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
                    a.attidentity,
                  a.attgenerated, a.attstorage, a.attstattarget, a.attacl, col_description(t.oid, a.attnum))
      from tables t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
      left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
     where t.relkind <> 'S'
    union all
    select format('view %s %s', t.name, pg_get_viewdef(t.oid)) from tables t where t.relkind = 'v'
    union all
    select format('constraint %s %s %s', t.name, regexp_replace(o.conname, '\d{8}', 'DAY'),
                  regexp_replace(pg_get_constraintdef(o.oid), '\d{4}-\d\d-\d\d', 'DAY', 'g'))
      from pg_constraint o join tables t on t.oid = o.conrelid
    union all
    select format('index %s valid %s', regexp_replace(pg_get_indexdef(i.indexrelid), '\d{8}', 'DAY', 'g'), i.indisvalid)
      from pg_index i join tables t on t.oid = i.indrelid
    union all
    select format('trigger %s enabled %s', regexp_replace(pg_get_triggerdef(r.oid), '\d{8}', 'DAY', 'g'), r.tgenabled)
      from pg_trigger r join tables t on t.oid = r.tgrelid where not r.tgisinternal
    union all
    select format('policy %s %s permissive %s for %s to %s using %s check %s', t.name, p.polname, p.polpermissive,
        p.polcmd,
                  (select string_agg(pg_get_userbyid(r), ' ' order by 1) from unnest(p.polroles) r),
                  pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
      from pg_policy p join tables t on t.oid = p.polrelid
    union all
    select format('function %s owner %s cost %s rows %s grants %s comment %s' || chr(10) || '%s', p.oid::regprocedure,
                  pg_get_userbyid(p.proowner), p.procost, p.prorows, g.to_whom, obj_description(p.oid, 'pg_proc'),
                  case when p.prokind = 'a' then (select format('%s', row (a.aggtransfn, a.aggfinalfn, a.aggtranstype,
                    a.agginitval)) from pg_aggregate a where a.aggfnoid = p.oid)
                       else pg_get_functiondef(p.oid) end)
      from pg_proc p left join granted g on g.oid = p.oid and g.kind = 'proc'
     where p.pronamespace = 'public'::regnamespace
       and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    union all
    select format('default grants of %s on %s: %s', pg_get_userbyid(d.defaclrole), d.defaclobjtype,
                  (select string_agg(a::text, ' ' order by a::text) from unnest(d.defaclacl) a))
      from pg_default_acl d
) every
order by line;
