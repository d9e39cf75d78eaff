#!/bin/sh
# Makes the role with which Grafana reads the tables, and changes nothing.
set -eu

psql --quiet --set ON_ERROR_STOP=1 --set password="$GRAFANA_PASSWORD" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE grafana LOGIN PASSWORD :'password';
GRANT pg_read_all_data TO grafana;
ALTER ROLE grafana SET default_transaction_read_only = on;
SQL
