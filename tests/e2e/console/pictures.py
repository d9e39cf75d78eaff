"""Takes the pictures of docs/console.md; the first argument is their folder."""

import sys
import threading

from console import clicks, expect, open_page, send, signed_in, try_wrong_code

PICTURES = {
    "console-graph-light": ("#/pipelines/counted", {"width": 1280, "height": 640}),
    "console-graph-dark": ("#/pipelines/counted", {"width": 1280, "height": 640, "scheme": "dark"}),
    "console-graph-phone": ("#/pipelines/counted", {"width": 360, "height": 720}),
    "console-plugins-light": ("#/plugins", {"width": 1280, "height": 560}),
    "console-changes-dark": ("#/changes", {"width": 1280, "height": 480, "scheme": "dark"}),
    "console-shadow-light": ("#/pipelines/tried/steps/labelled/shadow", {"width": 1280, "height": 1240}),
    "console-shadow-phone": ("#/pipelines/tried/steps/labelled/shadow", {"width": 360, "height": 720, "scheme": "dark"}),
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


try_wrong_code()
loading = threading.Thread(target=load)
loading.start()
try:
    for name, (address, shape) in PICTURES.items():
        with signed_in(**shape) as page:
            open_page(page, address)
            if address.endswith("/kept"):
                expect(page.get_by_role("table").locator("tbody tr").nth(10)).to_be_visible()
            page.wait_for_timeout(12_000 if "graph" in name else 500)
            page.screenshot(path=f"{folder}/{name}.png")
finally:
    done.set()
    loading.join()
