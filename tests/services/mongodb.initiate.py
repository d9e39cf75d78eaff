"""Makes a mongod the only member of its replica set, if it is not yet, and waits until it is the primary.

There is no shell in the package of the server, so this speaks its protocol: one command a connection, as OP_MSG.
"""
import socket
import struct
import sys
import time

PATIENCE_SECONDS = 60
OP_MSG = 2013


def element(kind, name, value):
    return bytes([kind]) + name.encode() + b"\0" + value


def encode(document):
    body = b""
    for name, value in document.items():
        if isinstance(value, int):
            body += element(0x10, name, struct.pack("<i", value))
        elif isinstance(value, str):
            text = value.encode() + b"\0"
            body += element(0x02, name, struct.pack("<i", len(text)) + text)
        elif isinstance(value, dict):
            body += element(0x03, name, encode(value))
        else:
            body += element(0x04, name, encode({str(index): item for index, item in enumerate(value)}))
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def run(port, command):
    """The answer of the server, as it comes."""
    message = struct.pack("<i", 0) + b"\0" + encode({**command, "$db": "admin"})
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(struct.pack("<iiii", 16 + len(message), 1, 0, OP_MSG) + message)
        answer = b""
        while len(answer) < 4 or len(answer) < struct.unpack("<i", answer[:4])[0]:
            received = connection.recv(65536)
            if not received:
                raise OSError("the connection was closed")
            answer += received
    return answer


def main(port):
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        try:
            hello = run(port, {"hello": 1})
            if b"\x08isWritablePrimary\0\x01" in hello:
                return
            if b"\x02setName\0" not in hello:
                members = [{"_id": 0, "host": f"127.0.0.1:{port}"}]
                run(port, {"replSetInitiate": {"_id": "rs0", "members": members}})
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit("mongod did not become the primary")


main(int(sys.argv[1]))
