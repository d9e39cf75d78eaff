"""The console in a real browser, which notices what a page must not do."""

import contextlib
import json
import os
import urllib.request

from playwright.sync_api import expect, sync_playwright

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
    "#/pipelines/counted/dead-letters": "Show those that were decided on",
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


def open_page(page, address):
    """Goes to a page, and waits until it is filled."""
    page.evaluate("address => { location.hash = address }", address)
    expect(page.get_by_text(PAGES[address]).first).to_be_visible()


def send(topic, records):
    """Appends records to a topic."""
    body = "\n".join(record if isinstance(record, str) else json.dumps(record) for record in records)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-ndjson"}
    request = urllib.request.Request(f"{SERVER}/topics/{topic}/records", body.encode(), headers)
    urllib.request.urlopen(request).read()


def clicks(number):
    """As many clicks, of four campaigns."""
    return [
        {"campaignId": f"campaign_{index % 4}", "email": f"{index}@shop.example", "timestamp": 1_700_000_000_000}
        for index in range(number)
    ]
