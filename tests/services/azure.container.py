"""Makes a container on the Azurite of a port, once it answers."""

import base64
import hashlib
import hmac
import sys
import time
import urllib.error
import urllib.request

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
VERSION = "2021-08-06"

port, container = sys.argv[1:]


def make():
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    # Of an account's own host the path begins with its name, which the signature then has twice.
    resource = f"/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
    signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{VERSION}\n{resource}"
    signature = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
    headers = {
        "x-ms-date": date,
        "x-ms-version": VERSION,
        "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}",
    }
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/{container}?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=5)


for _ in range(300):
    try:
        make()
        break
    except urllib.error.HTTPError as answer:
        sys.exit(f"Azurite answers {answer.code}: {answer.read()[:300]}")
    except OSError:
        time.sleep(0.1)
else:
    sys.exit("Azurite does not answer")
