"""Takes the pictures of docs/console.md; the first argument is their folder."""

import sys
import threading

from console import clicks, expect, fail, mended, open_page, other_bytes, replay, send, signed_in, try_wrong_code

PICTURES = {
    "console-graph-light": ("#/pipelines/counted", {"width": 1280, "height": 640}),
    "console-graph-dark": ("#/pipelines/counted", {"width": 1280, "height": 640, "scheme": "dark"}),
    "console-graph-phone": ("#/pipelines/counted", {"width": 360, "height": 720}),
    "console-plugins-light": ("#/plugins", {"width": 1280, "height": 560}),
    "console-changes-dark": ("#/changes", {"width": 1280, "height": 480, "scheme": "dark"}),
    "console-shadow-light": ("#/pipelines/tried/steps/labelled/shadow", {"width": 1280, "height": 1240}),
    "console-shadow-phone": ("#/pipelines/tried/steps/labelled/shadow", {"width": 360, "height": 720, "scheme": "dark"}),
    "console-letters-light": ("#/pipelines/unruly/dead-letters", {"width": 1280, "height": 1140}),
    "console-letters-phone": ("#/pipelines/unruly/dead-letters", {"width": 360, "height": 720, "scheme": "dark"}),
    "console-versions-light": ("#/pipelines/counted/versions", {"width": 1280, "height": 900}),
    "console-rows-phone": ("#/pipelines/counted/steps/kept", {"width": 360, "height": 720, "scheme": "dark"}),
}

folder = sys.argv[1]
done = threading.Event()


def load():
    """Clicks, now more and now fewer, as long as pictures are taken."""
    number = 0
    while not done.wait(0.1):
        number += 1
        send("clicks_in", clicks(20 + 15 * (number % 20)))


def plan_other_code(page):
    """Shows what new code for a plugin would change."""
    longer = {"name": "filter.wasm", "mimeType": "application/wasm", "buffer": other_bytes("filter")}
    page.get_by_label("Plugin", exact=True).select_option("filter")
    page.get_by_label("Its new code").set_input_files(longer)
    page.get_by_role("button", name="Plan the change").click()
    expect(page.get_by_role("table", name="The plan")).to_be_visible()
    page.evaluate("scrollTo(0, 0)")


# What is done on a page before its picture is taken.
DEEDS = {"#/pipelines/unruly/dead-letters": replay, "#/pipelines/counted/versions": plan_other_code}

try_wrong_code()
mended()
fail()
loading = threading.Thread(target=load)
loading.start()
try:
    for name, (address, shape) in PICTURES.items():
        with signed_in(**shape) as page:
            open_page(page, address)
            if address in DEEDS:
                DEEDS[address](page)
            if address.endswith("/kept"):
                expect(page.get_by_role("table").locator("tbody tr").nth(10)).to_be_visible()
            page.wait_for_timeout(12_000 if "graph" in name else 500)
            page.screenshot(path=f"{folder}/{name}.png")
finally:
    done.set()
    loading.join()
