#!/bin/sh
# Loads the real orders into the shop's tables when its database is made.
set -eu

for table in produtos pedidos itens_pedido; do
    gunzip --stdout "/data/$table.csv.gz" | psql --quiet --set ON_ERROR_STOP=1 \
        --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --command "COPY $table FROM STDIN CSV HEADER"
done
