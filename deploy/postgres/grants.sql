-- The user and the database of Doorward's control nodes. A superuser runs it once:
--
--     psql -v ON_ERROR_STOP=1 -d postgres -f deploy/postgres/grants.sql
--
-- and gives the user the password that stands in `revocation.postgres.password_file`: \password doorward
-- A test runs this file, and a control node after it.

CREATE ROLE doorward LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

CREATE DATABASE doorward ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE doorward FROM PUBLIC;
GRANT CONNECT ON DATABASE doorward TO doorward;

\connect doorward

REVOKE ALL ON SCHEMA public FROM PUBLIC;
-- Doorward makes its tables in here, and nothing elsewhere.
CREATE SCHEMA doorward AUTHORIZATION doorward;
