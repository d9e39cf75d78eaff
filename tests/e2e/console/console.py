"""The console in a real browser, which notices what a page must not do."""

import contextlib
import json
import os
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

# As long as Playwright waits for everything else: machines that run all tests are busy.
expect.set_options(timeout=30_000)

SERVER = os.environ["AZENHA_SERVER"]
TOKEN = os.environ["AZENHA_TOKEN"]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]

# Every page, and a text that is on it once it is filled.
PAGES = {
    "#/pipelines": "counted",
    "#/pipelines/counted": "records",
    "#/pipelines/counted/steps/kept": "Waiting for rows",
    "#/pipelines/counted/steps/kept/shadow": "Try other code",
    "#/pipelines/tried/steps/labelled/shadow": "at offset",
    "#/pipelines/counted/dead-letters": "Show those that were decided on",
    "#/pipelines/unruly/dead-letters": "Show those that were decided on",
    "#/pipelines/counted/versions": "The latest first",
    "#/plugins": "Columns that enter the sandbox",
    "#/changes": "The last changes",
}


@contextlib.contextmanager
def console(width=1280, height=800, scheme="light"):
    """A page of the console before anybody has signed in. At its end nothing may have gone wrong in it."""
    wrong = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        viewport = {"width": width, "height": height}
        page = browser.new_page(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(SERVER) else wrong.append(f"asks {asked.url}"))
        page.goto(f"{SERVER}/console")
        yield page
        browser.close()
    assert not wrong, wrong


@contextlib.contextmanager
def signed_in(**options):
    """A page of the console of somebody who has signed in."""
    with console(**options) as page:
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Pipelines")).to_be_visible()
        yield page


def go(page, address):
    """Goes to a page."""
    page.evaluate("address => { location.hash = address }", address)


def open_page(page, address):
    """Goes to a page, and waits until it is filled."""
    go(page, address)
    expect(page.get_by_text(PAGES[address]).first).to_be_visible()


def call(method, path, body=b"", kind="application/yaml"):
    """Asks the host, as whoever may deploy."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    request = urllib.request.Request(f"{SERVER}{path}", body, headers, method=method)
    return json.loads(urllib.request.urlopen(request).read() or "null")


def send(topic, records):
    """Appends records to a topic."""
    body = "\n".join(record if isinstance(record, str) else json.dumps(record) for record in records)
    call("POST", f"/topics/{topic}/records", body.encode(), "application/x-ndjson")


def other_bytes(plugin):
    """The same code in other bytes: with a section that nobody reads."""
    code = Path(os.environ["AZENHA_TEST_PLUGINS"], f"{plugin}.wasm").read_bytes()
    return code + b"\x00\x0c\x07padding\x00\x00\x00\x00"


def rows(first, number):
    """Rows of the pipeline beside which something is tried: in each tenth the column `other` is not what `device` is."""
    numbers = range(first, first + number)
    devices = [(number, f"device-{number % 20}") for number in numbers]
    return [
        {"number": number, "device": device, "other": device if number % 10 else "wrong", "email": f"{number}@shop.example"}
        for number, device in devices
    ]


def wrong(definition):
    """The definition with a bug in it."""
    planted = definition.replace("column: device", "column: other")
    assert planted != definition
    return planted


def try_wrong_code():
    """Has code with a bug work beside what runs, until that shows."""
    definition = call("GET", "/pipelines/tried")["definition"]["text"]
    beside = "/pipelines/tried/steps/labelled/shadow"
    call("POST", f"{beside}?sample=1&budget=50", wrong(definition).encode())
    number = 0
    while not call("GET", beside)["samples"]:
        send("rows", rows(number, 1_000))
        number += 1_000


def mended():
    """Uploads code that does what the plugin of `unruly` should have done."""
    code = Path(os.environ["AZENHA_TEST_PLUGINS"], "click-count.wasm").read_bytes()
    call("PUT", "/plugins/mended-count", code, "application/wasm")


def fail(record='{"campaignId": "fail finish"}'):
    """Has `unruly` fail on a record, until there is a letter more."""
    letters = lambda: len(call("GET", "/pipelines/unruly/dead-letters")["letters"])
    before = letters()
    send("unruly_in", [record])
    while letters() == before:
        time.sleep(0.1)


def replay(page):
    """Shows the replay of the first letter, and what a mended plugin makes of it."""
    letter = page.locator(".letter").first
    letter.get_by_role("button", name="Replay").click()
    letter.get_by_label("With another plugin").select_option("mended-count")
    letter.get_by_role("button", name="Try it").click()
    expect(letter.get_by_role("heading", name="With mended-count")).to_be_visible()


def clicks(number):
    """As many clicks, of four campaigns."""
    return [
        {"campaignId": f"campaign_{index % 4}", "email": f"{index}@shop.example", "timestamp": 1_700_000_000_000}
        for index in range(number)
    ]
