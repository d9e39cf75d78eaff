#!/bin/bash
# Makes the shop's database in SQL Server with its tables and the real orders, if it is not there. SQLCMDPASSWORD is the
# password of `sa`.
set -euo pipefail

sql() { /opt/mssql-tools18/bin/sqlcmd -S shop-sqlserver -U sa -C -b "$@"; }

if [ "$(sql -h -1 -Q "SET NOCOUNT ON; SELECT count(*) FROM sys.databases WHERE name = 'loja'" | tr -d ' ')" = 1 ]; then
    exit
fi
sql -Q "CREATE DATABASE loja"
sql -d loja -i /schema.sql
for table in produtos pedidos itens_pedido; do
    # A statement takes up to a thousand rows. No value holds a quote or a comma.
    gunzip --stdout "/data/$table.csv.gz" | sed -e 1d -e "s/,/', '/g" -e "s/^/('/" -e "s/\$/')/" -e "s/''/NULL/g" |
        awk -v table="$table" '
            NR % 500 == 1 { print (NR > 1 ? ";\nGO\n" : "") "INSERT INTO " table " VALUES" }
            { print (NR % 500 == 1 ? "" : ", ") $0 }
            END { print ";" }' > "/tmp/$table.sql"
    sql -d loja -i "/tmp/$table.sql" > /dev/null
done
