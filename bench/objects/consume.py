"""What anybody would write in Python: JSON records to Parquet files of a million rows, with pyarrow.

consume.py FOLDER FILE               records are the lines of a file
consume.py FOLDER BROKERS TOPIC N    N records of a topic of Kafka (needs the package confluent-kafka)

Prints the seconds from the first record to the last file, and the bytes of all files.
"""

import datetime
import json
import os
import sys
import time

import pyarrow
import pyarrow.parquet

ROWS = 1_000_000
SCHEMA = pyarrow.schema(
    [(name, pyarrow.string()) for name in ("campaignId", "userId", "sessionId", "event")]
    + [("timestamp", pyarrow.timestamp("us", tz="UTC"))]
    + [(name, pyarrow.string()) for name in ("platform", "cohort", "lifecycle")]
)


def lines(path):
    with open(path, "rb") as file:
        yield from file


def records(brokers, topic, count):
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": brokers, "group.id": f"consume-{os.getpid()}",
                         "auto.offset.reset": "earliest", "isolation.level": "read_committed"})
    consumer.subscribe([topic])
    while count > 0:
        for message in consumer.consume(min(10_000, count), 1.0):
            if message.error() is None:
                count -= 1
                yield message.value()


def main(folder, *source):
    values = lines(*source) if len(source) == 1 else records(source[0], source[1], int(source[2]))
    os.makedirs(folder, exist_ok=True)
    rows, files, started = [], [], time.perf_counter()

    def write():
        table = pyarrow.Table.from_pylist(rows, schema=SCHEMA)
        files.append(os.path.join(folder, f"{len(files):04}.parquet"))
        pyarrow.parquet.write_table(table, files[-1], compression="zstd", compression_level=3, row_group_size=122_880)
        rows.clear()

    for value in values:
        row = json.loads(value)
        row["timestamp"] = datetime.datetime.fromtimestamp(row["timestamp"] / 1_000, datetime.UTC)
        rows.append(row)
        if len(rows) == ROWS:
            write()
    if rows:
        write()
    print(time.perf_counter() - started, sum(os.path.getsize(file) for file in files))


main(*sys.argv[1:])
