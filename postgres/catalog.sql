-- What PostgreSQL's clients read about a database: views and macros in addition to DuckDB's, which know neither oids that stay the same nor
-- comments nor types by PostgreSQL's numbers. Each says which client needs it.
--
-- {ns} is the catalog of one audience, {schema} the served schema, {database} its name for clients. The tables _tables, _columns and
-- _types are filled before: only with what the audience may see.

-- Everybody: psql \d and \dn, SQLAlchemy, JDBC, Metabase, Superset, Grafana, DBeaver.
CREATE VIEW {ns}._pg.pg_namespace AS
    SELECT 2200::BIGINT AS oid, {schema} AS nspname, 10::BIGINT AS nspowner, NULL::VARCHAR[] AS nspacl
    UNION ALL SELECT 11, 'pg_catalog', 10, NULL UNION ALL SELECT 13000, 'information_schema', 10, NULL;
-- JDBC and SQLAlchemy join a comment's class by the name of the catalog that it belongs to: those catalogs are tables, too.
CREATE VIEW {ns}._pg.pg_class AS
    SELECT oid, name AS relname, namespace AS relnamespace, 0::BIGINT AS reltype, 0::BIGINT AS reloftype, 10::BIGINT AS relowner,
        2::BIGINT AS relam, oid AS relfilenode, 0::BIGINT AS reltablespace, 0 AS relpages, rows::REAL AS reltuples, 0 AS relallvisible,
        0::BIGINT AS reltoastrelid, false AS relhasindex, false AS relisshared, 'p' AS relpersistence, 'r' AS relkind,
        columns::SMALLINT AS relnatts, 0::SMALLINT AS relchecks, false AS relhasrules, false AS relhastriggers, false AS relhassubclass,
        false AS relrowsecurity, false AS relforcerowsecurity, true AS relispopulated, 'n' AS relreplident, false AS relispartition,
        0::BIGINT AS relrewrite, 0::BIGINT AS relfrozenxid, 0::BIGINT AS relminmxid, ['materia=r/materia'] AS relacl,
        NULL::VARCHAR[] AS reloptions, NULL::VARCHAR AS relpartbound, false AS relhasoids
    FROM (SELECT oid, name, rows, columns, 2200::BIGINT AS namespace FROM {ns}._pg._tables
        UNION ALL SELECT oid, name, -1, 0, 11 FROM (VALUES (1247, 'pg_type'), (1249, 'pg_attribute'), (1255, 'pg_proc'), (1259, 'pg_class'),
            (2606, 'pg_constraint'), (2615, 'pg_namespace')) AS system(oid, name));
CREATE VIEW {ns}._pg.pg_attribute AS
    SELECT table_oid AS attrelid, name AS attname, type_oid AS atttypid, -1 AS attstattarget, type_size::SMALLINT AS attlen,
        number::SMALLINT AS attnum, (CASE WHEN is_array THEN 1 ELSE 0 END)::SMALLINT AS attndims, -1 AS attcacheoff,
        modifier AS atttypmod, false AS attbyval, 'i' AS attalign, 'x' AS attstorage, '' AS attcompression, not_null AS attnotnull,
        false AS atthasdef, false AS atthasmissing, '' AS attidentity, '' AS attgenerated, false AS attisdropped, true AS attislocal,
        0 AS attinhcount, 0::BIGINT AS attcollation, NULL::VARCHAR[] AS attacl, NULL::VARCHAR[] AS attoptions,
        NULL::VARCHAR[] AS attfdwoptions, NULL::VARCHAR AS attmissingval
    FROM {ns}._pg._columns;
-- asyncpg looks types up that it does not know; JDBC and SQLAlchemy read names by oid; pg8000, Npgsql and Grafana read all of it.
CREATE VIEW {ns}._pg.pg_type AS
    SELECT oid, name AS typname, 11::BIGINT AS typnamespace, 10::BIGINT AS typowner, size::SMALLINT AS typlen, false AS typbyval,
        'b' AS typtype, CASE WHEN item <> 0 THEN 'A' ELSE category END AS typcategory, false AS typispreferred, true AS typisdefined,
        ',' AS typdelim, 0::BIGINT AS typrelid, 0::BIGINT AS typsubscript, item AS typelem, array_oid AS typarray,
        name || 'in' AS typinput, name || 'out' AS typoutput, name || 'recv' AS typreceive, name || 'send' AS typsend,
        '-' AS typmodin, '-' AS typmodout, '-' AS typanalyze, 'i' AS typalign, 'x' AS typstorage, false AS typnotnull,
        0::BIGINT AS typbasetype, -1 AS typtypmod, 0 AS typndims, 0::BIGINT AS typcollation, NULL::VARCHAR AS typdefaultbin,
        NULL::VARCHAR AS typdefault, NULL::VARCHAR[] AS typacl
    FROM {ns}._pg._types;
-- Comments: psql \d+ and \dt+, SQLAlchemy, JDBC (REMARKS), DBeaver, Metabase.
CREATE VIEW {ns}._pg.pg_description AS
    SELECT oid AS objoid, 1259::BIGINT AS classoid, 0 AS objsubid, comment AS description FROM {ns}._pg._tables WHERE comment IS NOT NULL
    UNION ALL SELECT table_oid, 1259, number, comment FROM {ns}._pg._columns WHERE comment IS NOT NULL;
CREATE VIEW {ns}._pg.pg_database AS
    SELECT 16384::BIGINT AS oid, {database} AS datname, 10::BIGINT AS datdba, 6 AS encoding, 'c' AS datlocprovider, false AS datistemplate,
        true AS datallowconn, -1 AS datconnlimit, 0::BIGINT AS dattablespace, 'C' AS datcollate, 'C' AS datctype,
        NULL::VARCHAR AS daticulocale, NULL::VARCHAR AS datcollversion, NULL::VARCHAR[] AS datacl;
CREATE VIEW {ns}._pg.pg_tables AS
    SELECT {schema} AS schemaname, name AS tablename, 'materia' AS tableowner, NULL::VARCHAR AS tablespace, false AS hasindexes,
        false AS hasrules, false AS hastriggers, false AS rowsecurity FROM {ns}._pg._tables;
-- psql \du, DBeaver, pgAdmin: the one role there is.
CREATE VIEW {ns}._pg.pg_roles AS
    SELECT 10::BIGINT AS oid, 'materia' AS rolname, false AS rolsuper, true AS rolinherit, false AS rolcreaterole, false AS rolcreatedb,
        true AS rolcanlogin, false AS rolreplication, -1 AS rolconnlimit, NULL::VARCHAR AS rolpassword, NULL::TIMESTAMPTZ AS rolvaliduntil,
        false AS rolbypassrls, NULL::VARCHAR[] AS rolconfig;
CREATE VIEW {ns}._pg.pg_user AS
    SELECT rolname AS usename, oid AS usesysid, rolcreatedb AS usecreatedb, rolsuper AS usesuper, rolreplication AS userepl,
        rolbypassrls AS usebypassrls, NULL::VARCHAR AS passwd, rolvaliduntil AS valuntil, rolconfig AS useconfig FROM {ns}._pg.pg_roles;
-- psql \d joins the access method.
CREATE VIEW {ns}._pg.pg_am AS SELECT 2::BIGINT AS oid, 'heap' AS amname, 'heap_tableam_handler' AS amhandler, 't' AS amtype;
CREATE VIEW {ns}._pg.pg_settings AS
    SELECT * FROM (VALUES ('server_version', '15.0'), ('max_index_keys', '32'), ('standard_conforming_strings', 'on'),
        ('TimeZone', 'UTC'), ('search_path', {schema})) AS settings(name, setting);
CREATE VIEW {ns}._pg.pg_tablespace AS SELECT 1663::BIGINT AS oid, 'pg_default' AS spcname, 10::BIGINT AS spcowner, NULL::VARCHAR[] AS spcacl, NULL::VARCHAR[] AS spcoptions;
CREATE VIEW {ns}._pg.pg_collation AS
    SELECT 100::BIGINT AS oid, 'default' AS collname, 11::BIGINT AS collnamespace, 10::BIGINT AS collowner, 'd' AS collprovider,
        true AS collisdeterministic, -1 AS collencoding, NULL::VARCHAR AS collcollate, NULL::VARCHAR AS collctype, NULL::VARCHAR AS colliculocale;

-- What is served has none of these; clients join them all the same. psql \d: pg_index to pg_publication_rel; SQLAlchemy: pg_attrdef,
-- pg_index, pg_constraint, pg_enum, pg_sequence; JDBC: pg_proc, pg_index, pg_constraint; DBeaver: the rest.
CREATE VIEW {ns}._pg.pg_attrdef AS SELECT 0::BIGINT AS oid, 0::BIGINT AS adrelid, 0::SMALLINT AS adnum, '' AS adbin WHERE false;
CREATE VIEW {ns}._pg.pg_index AS
    SELECT 0::BIGINT AS indexrelid, 0::BIGINT AS indrelid, 0::SMALLINT AS indnatts, 0::SMALLINT AS indnkeyatts, false AS indisunique,
        false AS indnullsnotdistinct, false AS indisprimary, false AS indisexclusion, false AS indimmediate, false AS indisclustered,
        true AS indisvalid, false AS indcheckxmin, true AS indisready, true AS indislive, false AS indisreplident,
        NULL::SMALLINT[] AS indkey, NULL::BIGINT[] AS indcollation, NULL::BIGINT[] AS indclass, NULL::SMALLINT[] AS indoption,
        NULL::VARCHAR AS indexprs, NULL::VARCHAR AS indpred WHERE false;
CREATE VIEW {ns}._pg.pg_constraint AS
    SELECT 0::BIGINT AS oid, '' AS conname, 0::BIGINT AS connamespace, '' AS contype, false AS condeferrable, false AS condeferred,
        true AS convalidated, 0::BIGINT AS conrelid, 0::BIGINT AS contypid, 0::BIGINT AS conindid, 0::BIGINT AS conparentid,
        0::BIGINT AS confrelid, '' AS confupdtype, '' AS confdeltype, '' AS confmatchtype, true AS conislocal, 0 AS coninhcount,
        false AS connoinherit, NULL::SMALLINT[] AS conkey, NULL::SMALLINT[] AS confkey, NULL::BIGINT[] AS conpfeqop,
        NULL::BIGINT[] AS conexclop, '' AS conbin WHERE false;
CREATE VIEW {ns}._pg.pg_inherits AS SELECT 0::BIGINT AS inhrelid, 0::BIGINT AS inhparent, 0 AS inhseqno, false AS inhdetachpending WHERE false;
CREATE VIEW {ns}._pg.pg_trigger AS
    SELECT 0::BIGINT AS oid, 0::BIGINT AS tgrelid, 0::BIGINT AS tgparentid, '' AS tgname, 0::BIGINT AS tgfoid, 0::SMALLINT AS tgtype,
        '' AS tgenabled, false AS tgisinternal, 0::BIGINT AS tgconstrrelid, 0::BIGINT AS tgconstrindid, 0::BIGINT AS tgconstraint WHERE false;
CREATE VIEW {ns}._pg.pg_rewrite AS SELECT 0::BIGINT AS oid, '' AS rulename, 0::BIGINT AS ev_class, '' AS ev_type, '' AS ev_enabled, false AS is_instead WHERE false;
CREATE VIEW {ns}._pg.pg_policy AS
    SELECT 0::BIGINT AS oid, '' AS polname, 0::BIGINT AS polrelid, '' AS polcmd, true AS polpermissive, NULL::BIGINT[] AS polroles,
        '' AS polqual, '' AS polwithcheck WHERE false;
CREATE VIEW {ns}._pg.pg_statistic_ext AS
    SELECT 0::BIGINT AS oid, 0::BIGINT AS stxrelid, '' AS stxname, 0::BIGINT AS stxnamespace, NULL::VARCHAR[] AS stxkind, 0 AS stxstattarget, NULL::SMALLINT[] AS stxkeys WHERE false;
CREATE VIEW {ns}._pg.pg_publication AS SELECT 0::BIGINT AS oid, '' AS pubname, false AS puballtables WHERE false;
CREATE VIEW {ns}._pg.pg_publication_rel AS SELECT 0::BIGINT AS oid, 0::BIGINT AS prpubid, 0::BIGINT AS prrelid, '' AS prqual, NULL::SMALLINT[] AS prattrs WHERE false;
CREATE VIEW {ns}._pg.pg_publication_namespace AS SELECT 0::BIGINT AS oid, 0::BIGINT AS pnpubid, 0::BIGINT AS pnnspid WHERE false;
CREATE VIEW {ns}._pg.pg_partitioned_table AS SELECT 0::BIGINT AS partrelid, '' AS partstrat, 0::SMALLINT AS partnatts WHERE false;
CREATE VIEW {ns}._pg.pg_foreign_table AS SELECT 0::BIGINT AS ftrelid, 0::BIGINT AS ftserver, NULL::VARCHAR[] AS ftoptions WHERE false;
CREATE VIEW {ns}._pg.pg_foreign_server AS SELECT 0::BIGINT AS oid, '' AS srvname, NULL::VARCHAR[] AS srvoptions WHERE false;
CREATE VIEW {ns}._pg.pg_sequence AS SELECT 0::BIGINT AS seqrelid, 0::BIGINT AS seqtypid, 0::BIGINT AS seqstart, 0::BIGINT AS seqincrement, 0::BIGINT AS seqmax, 0::BIGINT AS seqmin, 0::BIGINT AS seqcache, false AS seqcycle WHERE false;
CREATE VIEW {ns}._pg.pg_sequences AS SELECT '' AS schemaname, '' AS sequencename WHERE false;
CREATE VIEW {ns}._pg.pg_enum AS SELECT 0::BIGINT AS oid, 0::BIGINT AS enumtypid, 0::REAL AS enumsortorder, '' AS enumlabel WHERE false;
CREATE VIEW {ns}._pg.pg_range AS SELECT 0::BIGINT AS rngtypid, 0::BIGINT AS rngsubtype, 0::BIGINT AS rngmultitypid, 0::BIGINT AS rngcollation WHERE false;
CREATE VIEW {ns}._pg.pg_proc AS
    SELECT 0::BIGINT AS oid, '' AS proname, 0::BIGINT AS pronamespace, 0::BIGINT AS proowner, '' AS prokind, false AS proretset,
        0::BIGINT AS prorettype, NULL::BIGINT[] AS proargtypes, NULL::BIGINT[] AS proallargtypes, NULL::VARCHAR[] AS proargmodes,
        NULL::VARCHAR[] AS proargnames, 0::SMALLINT AS pronargs, '' AS prosrc, 0::BIGINT AS prolang, false AS proisagg WHERE false;
CREATE VIEW {ns}._pg.pg_views AS SELECT '' AS schemaname, '' AS viewname, '' AS viewowner, '' AS definition WHERE false;
CREATE VIEW {ns}._pg.pg_matviews AS SELECT '' AS schemaname, '' AS matviewname, '' AS matviewowner, '' AS definition WHERE false;
CREATE VIEW {ns}._pg.pg_indexes AS SELECT '' AS schemaname, '' AS tablename, '' AS indexname, '' AS tablespace, '' AS indexdef WHERE false;
CREATE VIEW {ns}._pg.pg_depend AS SELECT 0::BIGINT AS classid, 0::BIGINT AS objid, 0 AS objsubid, 0::BIGINT AS refclassid, 0::BIGINT AS refobjid, 0 AS refobjsubid, '' AS deptype WHERE false;
CREATE VIEW {ns}._pg.pg_shdescription AS SELECT 0::BIGINT AS objoid, 0::BIGINT AS classoid, '' AS description WHERE false;
CREATE VIEW {ns}._pg.pg_extension AS SELECT 0::BIGINT AS oid, '' AS extname, 0::BIGINT AS extnamespace, '' AS extversion WHERE false;
CREATE VIEW {ns}._pg.pg_language AS SELECT 0::BIGINT AS oid, '' AS lanname WHERE false;
CREATE VIEW {ns}._pg.pg_opclass AS SELECT 0::BIGINT AS oid, '' AS opcname, false AS opcdefault WHERE false;
CREATE VIEW {ns}._pg.pg_auth_members AS SELECT 0::BIGINT AS roleid, 0::BIGINT AS member, 0::BIGINT AS grantor, false AS admin_option WHERE false;
CREATE VIEW {ns}._pg.pg_stat_activity AS SELECT 0 AS pid, '' AS datname, '' AS usename, '' AS application_name, '' AS state, '' AS query WHERE false;
-- Metabase reads the number of rows.
CREATE VIEW {ns}._pg.pg_stat_user_tables AS
    SELECT oid AS relid, {schema} AS schemaname, name AS relname, CASE WHEN rows >= 0 THEN rows END AS n_live_tup, 0::BIGINT AS n_dead_tup,
        NULL::TIMESTAMPTZ AS last_vacuum, NULL::TIMESTAMPTZ AS last_analyze
    FROM {ns}._pg._tables;
CREATE VIEW {ns}._pg.pg_locks AS SELECT 0 AS pid, '' AS mode, false AS granted WHERE false;
CREATE VIEW {ns}._pg.pg_event_trigger AS SELECT 0::BIGINT AS oid, '' AS evtname WHERE false;
CREATE VIEW {ns}._pg.pg_cast AS SELECT 0::BIGINT AS oid, 0::BIGINT AS castsource, 0::BIGINT AS casttarget WHERE false;

-- The standard's views: SQLAlchemy, Metabase, Superset, Grafana's query builder, Power BI, R's DBI.
CREATE VIEW {ns}._info.schemata AS
    SELECT {database} AS catalog_name, nspname AS schema_name, 'materia' AS schema_owner, NULL::VARCHAR AS default_character_set_catalog,
        NULL::VARCHAR AS default_character_set_schema, NULL::VARCHAR AS default_character_set_name, NULL::VARCHAR AS sql_path
    FROM {ns}._pg.pg_namespace;
CREATE VIEW {ns}._info.tables AS
    SELECT {database} AS table_catalog, {schema} AS table_schema, name AS table_name, 'BASE TABLE' AS table_type,
        NULL::VARCHAR AS self_referencing_column_name, NULL::VARCHAR AS reference_generation, NULL::VARCHAR AS user_defined_type_catalog,
        NULL::VARCHAR AS user_defined_type_schema, NULL::VARCHAR AS user_defined_type_name, 'NO' AS is_insertable_into, 'NO' AS is_typed,
        NULL::VARCHAR AS commit_action
    FROM {ns}._pg._tables;
CREATE VIEW {ns}._info.columns AS
    SELECT {database} AS table_catalog, {schema} AS table_schema, t.name AS table_name, c.name AS column_name, c.number AS ordinal_position,
        NULL::VARCHAR AS column_default, CASE WHEN c.not_null THEN 'NO' ELSE 'YES' END AS is_nullable,
        CASE WHEN c.is_array THEN 'ARRAY' ELSE c.long_name END AS data_type, NULL::INTEGER AS character_maximum_length,
        NULL::INTEGER AS character_octet_length,
        CASE c.type_oid WHEN 21 THEN 16 WHEN 23 THEN 32 WHEN 20 THEN 64 WHEN 700 THEN 24 WHEN 701 THEN 53
            WHEN 1700 THEN (CASE WHEN c.modifier >= 4 THEN (c.modifier - 4) >> 16 END) END AS numeric_precision,
        CASE WHEN c.type_oid IN (20, 21, 23, 700, 701) THEN 2 WHEN c.type_oid = 1700 THEN 10 END AS numeric_precision_radix,
        CASE WHEN c.type_oid IN (20, 21, 23) THEN 0 WHEN c.type_oid = 1700 AND c.modifier >= 4 THEN (c.modifier - 4) & 65535 END AS numeric_scale,
        CASE WHEN c.type_oid IN (1083, 1114, 1184, 1186, 1266) THEN 6 WHEN c.type_oid = 1082 THEN 0 END AS datetime_precision,
        NULL::VARCHAR AS interval_type, NULL::VARCHAR AS character_set_name, NULL::VARCHAR AS collation_name, NULL::VARCHAR AS domain_name,
        {database} AS udt_catalog, 'pg_catalog' AS udt_schema, c.type_name AS udt_name, c.number::VARCHAR AS dtd_identifier,
        'NO' AS is_identity, NULL::VARCHAR AS identity_generation, 'NEVER' AS is_generated, NULL::VARCHAR AS generation_expression,
        'NO' AS is_updatable
    FROM {ns}._pg._columns c JOIN {ns}._pg._tables t ON t.oid = c.table_oid;
CREATE VIEW {ns}._info.views AS SELECT '' AS table_catalog, '' AS table_schema, '' AS table_name, '' AS view_definition WHERE false;
CREATE VIEW {ns}._info.table_constraints AS
    SELECT '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name, '' AS table_catalog, '' AS table_schema,
        '' AS table_name, '' AS constraint_type, '' AS is_deferrable, '' AS initially_deferred WHERE false;
CREATE VIEW {ns}._info.key_column_usage AS
    SELECT '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name, '' AS table_catalog, '' AS table_schema,
        '' AS table_name, '' AS column_name, 0 AS ordinal_position, 0 AS position_in_unique_constraint WHERE false;
CREATE VIEW {ns}._info.constraint_column_usage AS
    SELECT '' AS table_catalog, '' AS table_schema, '' AS table_name, '' AS column_name, '' AS constraint_catalog, '' AS constraint_schema,
        '' AS constraint_name WHERE false;
CREATE VIEW {ns}._info.referential_constraints AS
    SELECT '' AS constraint_catalog, '' AS constraint_schema, '' AS constraint_name, '' AS unique_constraint_catalog,
        '' AS unique_constraint_schema, '' AS unique_constraint_name, '' AS match_option, '' AS update_rule, '' AS delete_rule WHERE false;
-- Metabase asks which tables may be read.
CREATE VIEW {ns}._info.table_privileges AS
    SELECT 'materia' AS grantor, 'materia' AS grantee, table_catalog, table_schema, table_name, 'SELECT' AS privilege_type,
        'NO' AS is_grantable, 'YES' AS with_hierarchy FROM {ns}._info.tables;
CREATE VIEW {ns}._info.role_table_grants AS SELECT * FROM {ns}._info.table_privileges;

-- The aliases in macros (_mt) are no client's: an alias of the outer query would be captured.
-- Functions that hide DuckDB's of the same name, which describe the whole file: everybody.
CREATE MACRO {ns}._pg.current_database() AS {database};
CREATE MACRO {ns}._pg.current_catalog() AS {database};
CREATE MACRO {ns}._pg.current_user() AS 'materia';
CREATE MACRO {ns}._pg.session_user() AS 'materia';
CREATE MACRO {ns}._pg.user() AS 'materia';
CREATE MACRO {ns}._pg.current_schema() AS {schema};
CREATE MACRO {ns}._pg.current_schemas(implicit) AS CASE WHEN implicit THEN ['pg_catalog', {schema}] ELSE [{schema}] END;
CREATE MACRO {ns}._pg.version() AS 'PostgreSQL 15.0 (materia {version}, DuckDB)';
CREATE MACRO {ns}._pg.current_setting(wanted) AS (SELECT setting FROM {ns}._pg.pg_settings _ms WHERE lower(_ms.name) = lower(wanted));
CREATE MACRO {ns}._pg.current_query() AS NULL::VARCHAR;
-- psql, SQLAlchemy, JDBC, DBeaver.
CREATE MACRO {ns}._pg.format_type(kind, modifier) AS (
    SELECT CASE WHEN item <> 0 THEN (SELECT _mi.long_name FROM {ns}._pg._types _mi WHERE _mi.oid = _mt.item)
                     || (CASE WHEN _mt.item = 1700 AND modifier >= 4 THEN '(' || ((modifier - 4) >> 16) || ',' || ((modifier - 4) & 65535) || ')' ELSE '' END) || '[]'
                WHEN _mt.oid = 1700 AND modifier >= 4 THEN 'numeric(' || ((modifier - 4) >> 16) || ',' || ((modifier - 4) & 65535) || ')'
                ELSE _mt.long_name END
    FROM {ns}._pg._types _mt WHERE _mt.oid = kind);
CREATE MACRO {ns}._pg.obj_description
    (object) AS (SELECT description FROM {ns}._pg.pg_description _md WHERE _md.objoid = object AND _md.objsubid = 0),
    (object, catalog) AS (SELECT description FROM {ns}._pg.pg_description _md WHERE _md.objoid = object AND _md.objsubid = 0);
CREATE MACRO {ns}._pg.col_description(object, place) AS (SELECT description FROM {ns}._pg.pg_description _md WHERE _md.objoid = object AND _md.objsubid = place AND place > 0);
CREATE MACRO {ns}._pg.shobj_description(object, catalog) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_userbyid(id) AS 'materia';
CREATE MACRO {ns}._pg.pg_table_is_visible(object) AS (object IS NOT NULL);
CREATE MACRO {ns}._pg.pg_type_is_visible(object) AS (object IS NOT NULL);
CREATE MACRO {ns}._pg.pg_function_is_visible(object) AS (object IS NOT NULL);
CREATE MACRO {ns}._pg.pg_collation_is_visible(object) AS (object IS NOT NULL);
CREATE MACRO {ns}._pg.pg_get_expr
    (node, relation) AS NULL::VARCHAR,
    (node, relation, pretty) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_viewdef
    (object) AS NULL::VARCHAR,
    (object, pretty) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_constraintdef
    (object) AS NULL::VARCHAR,
    (object, pretty) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_indexdef
    (object) AS NULL::VARCHAR,
    (object, place, pretty) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_partkeydef(object) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_statisticsobjdef_columns(object) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_ruledef
    (object) AS NULL::VARCHAR,
    (object, pretty) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_triggerdef
    (object) AS NULL::VARCHAR,
    (object, pretty) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_function_result(object) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_function_arguments(object) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_function_identity_arguments(object) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_get_serial_sequence(relation, attribute) AS NULL::VARCHAR;
CREATE MACRO {ns}._pg.pg_relation_is_publishable(object) AS false;
CREATE MACRO {ns}._pg.pg_relation_size
    (object) AS 0::BIGINT,
    (object, fork) AS 0::BIGINT;
CREATE MACRO {ns}._pg.pg_table_size(object) AS 0::BIGINT;
CREATE MACRO {ns}._pg.pg_total_relation_size(object) AS 0::BIGINT;
CREATE MACRO {ns}._pg.pg_database_size(object) AS 0::BIGINT;
CREATE MACRO {ns}._pg.pg_size_pretty(bytes) AS CASE WHEN bytes = 0 THEN '' ELSE bytes || ' bytes' END;
CREATE MACRO {ns}._pg.pg_encoding_to_char(encoding) AS 'UTF8';
CREATE MACRO {ns}._pg.pg_is_in_recovery() AS true;
CREATE MACRO {ns}._pg.pg_backend_pid() AS 0;
CREATE MACRO {ns}._pg.pg_postmaster_start_time() AS NULL::TIMESTAMPTZ;
CREATE MACRO {ns}._pg.pg_my_temp_schema() AS 0::BIGINT;
CREATE MACRO {ns}._pg.pg_is_other_temp_schema(object) AS false;
CREATE MACRO {ns}._pg.pg_tablespace_location(object) AS '';
CREATE MACRO {ns}._pg.quote_ident(name) AS CASE WHEN regexp_full_match(name, '[a-z_][a-z0-9_$]*') THEN name ELSE '"' || replace(name, '"', '""') || '"' END;
CREATE MACRO {ns}._pg.quote_literal(value) AS '''' || replace(value::VARCHAR, '''', '''''') || '''';
-- Grafana's query builder.
CREATE MACRO {ns}._pg.string_to_array(text, delimiter) AS string_split(text, delimiter);
CREATE MACRO {ns}._pg.parse_ident(name) AS [CASE WHEN _mp LIKE '"%' THEN replace(_mp, '"', '') ELSE lower(_mp) END for _mp in string_split(name, '.')];
CREATE MACRO {ns}._pg.array_upper(list, dimension) AS CASE WHEN len(list) > 0 THEN len(list) END;
CREATE MACRO {ns}._pg.array_lower(list, dimension) AS CASE WHEN len(list) > 0 THEN 1 END;
CREATE MACRO {ns}._pg.has_table_privilege
    (relation, privilege) AS (upper(privilege) LIKE 'SELECT%'),
    (role, relation, privilege) AS (upper(privilege) LIKE 'SELECT%');
CREATE MACRO {ns}._pg.has_any_column_privilege
    (relation, privilege) AS (upper(privilege) LIKE 'SELECT%'),
    (role, relation, privilege) AS (upper(privilege) LIKE 'SELECT%');
CREATE MACRO {ns}._pg.has_column_privilege
    (relation, attribute, privilege) AS (upper(privilege) LIKE 'SELECT%'),
    (role, relation, attribute, privilege) AS (upper(privilege) LIKE 'SELECT%');
CREATE MACRO {ns}._pg.has_schema_privilege
    (name, privilege) AS (upper(privilege) LIKE 'USAGE%'),
    (role, name, privilege) AS (upper(privilege) LIKE 'USAGE%');
CREATE MACRO {ns}._pg.has_database_privilege
    (name, privilege) AS (upper(privilege) LIKE 'CONNECT%'),
    (role, name, privilege) AS (upper(privilege) LIKE 'CONNECT%');
CREATE MACRO {ns}._pg.has_sequence_privilege
    (name, privilege) AS false,
    (role, name, privilege) AS false;
CREATE MACRO {ns}._pg.has_function_privilege
    (name, privilege) AS false,
    (role, name, privilege) AS false;
-- JDBC: getPrimaryKeys, getIndexInfo and getBestRowIdentifier expand the numbers of a key's columns; getSQLKeywords reads PostgreSQL's
-- own reserved words.
CREATE MACRO {ns}._pg._pg_expandarray(list) AS unnest([{'x': list[_mi], 'n': _mi} for _mi in range(1, len(list) + 1)]);
CREATE MACRO {ns}._pg.pg_get_keywords() AS TABLE
    SELECT word, 'R' AS catcode, 'reserved' AS catdesc
    FROM (VALUES ('analyse'), ('analyze'), ('asc'), ('deferrable'), ('desc'), ('do'), ('freeze'), ('ilike'), ('initially'), ('isnull'), ('limit'),
        ('notnull'), ('offset'), ('placing'), ('returning'), ('variadic'), ('verbose')) AS words(word);
-- Casts to and from names of objects, which the endpoint turns into these: psql, SQLAlchemy, asyncpg, DBeaver.
CREATE MACRO {ns}._pg.regclass_in(wanted) AS (
    SELECT oid FROM {ns}._pg.pg_class _mc
    WHERE _mc.relname = replace(split_part(wanted::VARCHAR, '.', -1), '"', '') OR _mc.oid::VARCHAR = wanted::VARCHAR);
CREATE MACRO {ns}._pg.regclass_out(object) AS coalesce((SELECT relname FROM {ns}._pg.pg_class _mc WHERE _mc.oid::VARCHAR = object::VARCHAR), object::VARCHAR);
CREATE MACRO {ns}._pg.to_regclass(wanted) AS (
    SELECT oid FROM {ns}._pg.pg_class _mc WHERE _mc.relname = replace(split_part(wanted::VARCHAR, '.', -1), '"', ''));
CREATE MACRO {ns}._pg.regtype_in(wanted) AS (
    SELECT oid FROM {ns}._pg._types _mt WHERE wanted::VARCHAR IN (_mt.name, _mt.long_name, _mt.oid::VARCHAR, 'pg_catalog.' || _mt.name));
CREATE MACRO {ns}._pg.regtype_out(object) AS coalesce({ns}._pg.format_type(object::BIGINT, NULL), object::VARCHAR);
CREATE MACRO {ns}._pg.to_regtype(wanted) AS (SELECT oid FROM {ns}._pg._types _mt WHERE wanted IN (_mt.name, _mt.long_name));
CREATE MACRO {ns}._pg.regnamespace_in(wanted) AS (SELECT oid FROM {ns}._pg.pg_namespace _mn WHERE _mn.nspname = wanted::VARCHAR);
CREATE MACRO {ns}._pg.regnamespace_out(object) AS (SELECT nspname FROM {ns}._pg.pg_namespace _mn WHERE _mn.oid = object::BIGINT);
CREATE MACRO {ns}._pg.regproc_in(wanted) AS NULL::BIGINT;
CREATE MACRO {ns}._pg.regproc_out(object) AS object::VARCHAR;
CREATE MACRO {ns}._pg.regprocedure_in(wanted) AS NULL::BIGINT;
CREATE MACRO {ns}._pg.regprocedure_out(object) AS object::VARCHAR;
CREATE MACRO {ns}._pg.regoper_in(wanted) AS NULL::BIGINT;
CREATE MACRO {ns}._pg.regoper_out(object) AS object::VARCHAR;
-- asyncpg: the types that it does not know, which its recursive query finds. The endpoint replaces that query by this macro.
CREATE MACRO {ns}._pg.asyncpg_types(oids) AS TABLE
    SELECT t.oid, 'pg_catalog' AS ns, t.name, 'b' AS kind, NULL::BIGINT AS basetype, t.item AS elemtype, i.delimiter AS elemdelim,
        NULL::BIGINT AS range_subtype, NULL::VARCHAR[] AS attrtypoids, NULL::VARCHAR[] AS attrnames, 0 AS depth,
        NULL::VARCHAR AS basetype_name, i.long_name AS elemtype_name, NULL::VARCHAR AS range_subtype_name
    FROM {ns}._pg._types t LEFT JOIN (SELECT oid, long_name, ',' AS delimiter FROM {ns}._pg._types) i ON i.oid = t.item
    WHERE list_contains(oids, t.oid);
