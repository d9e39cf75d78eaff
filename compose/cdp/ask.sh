# Asks the host the same questions again and again, so that the dashboard has response times to show.
set -eu
while :; do
    for words in garantia procon nota+fiscal prazo+entrega abracadabra; do
        for endpoint in eventos_db eventos_es; do
            curl -s -o /dev/null -H "Authorization: Bearer $AZENHA_METRICS_TOKEN" "$HOST/$endpoint/?q=$words&limit=20" ||
                echo "$endpoint does not answer"
        done
        sleep 1
    done
done
