"""Other code beside what runs: chosen, watched, thrown away and put into force."""

import re

from console import call, expect, go, other_bytes, rows, send, signed_in, wrong

SHADOW = "#/pipelines/tried/steps/labelled/shadow"


def begin(page, bug):
    page.get_by_label("Plugin", exact=True).select_option("rename-next")
    page.get_by_label("Share of the rows that it gets").fill("100")
    page.get_by_label("Processor time that it may take").fill("5000")
    page.get_by_text("With another configuration").click()
    definition = page.get_by_label("Definition")
    definition.fill(bug(definition.input_value()))
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("heading", name="A candidate works beside labelled")).to_be_visible()


def until_rows_differ(page):
    different = page.locator('[data-fact="different"]')
    number = 0
    while different.inner_text() == "0":
        send("rows", rows(number, 1_000))
        number += 1_000
        page.wait_for_timeout(200)


def one_sees_which_rows_and_columns_differ(page):
    expect(page.locator('[data-fact="equal"]')).not_to_have_text("0")
    for none in ("only_live", "only_candidate"):
        expect(page.locator(f'[data-fact="{none}"]')).to_have_text("0")
    columns = page.get_by_role("table", name="Values of rows that both made")
    expect(columns.locator("mark")).to_have_count(1)
    expect(columns.get_by_role("row", name=re.compile("^label")).locator("mark")).to_have_count(1)
    expect(columns.get_by_role("row", name=re.compile("^device"))).to_be_visible()
    samples = page.locator(".sample")
    expect(samples.first).to_be_visible()
    for sample in samples.all():
        offset = int(re.search(r"rows/0 at offset ([\d,]+)", sample.get_by_role("heading").inner_text())[1].replace(",", ""))
        assert offset % 10 == 0, offset
        assert sample.locator("mark").all_inner_texts() == [f"thedevice-{offset % 20}", "thewrong"]
        expect(sample.get_by_role("row", name=re.compile("^email"))).to_contain_text("***")
        assert "shop.example" not in sample.inner_text(), "personal data is masked"


def one_sees_what_it_costs(page):
    cost = page.get_by_role("table", name="What both cost")
    for row, unit in {"Processor time a row": "s", "Processor time in all": "s", "Memory, at most": "iB"}.items():
        cells = cost.get_by_role("row", name=row).get_by_role("cell").all_inner_texts()[1:]
        assert len(cells) == 2 and all(cell.endswith(unit) for cell in cells), cells


def what_differs_is_watched_and_discarded():
    with signed_in() as page:
        go(page, "#/pipelines/tried")
        task = page.locator('[data-id="task/labels"]')
        expect(task.get_by_role("link", name="candidate")).to_be_hidden()
        task.get_by_role("link", name="labelled").click()
        page.get_by_role("link", name="Shadow").click()
        begin(page, wrong)
        until_rows_differ(page)
        one_sees_which_rows_and_columns_differ(page)
        one_sees_what_it_costs(page)
        page.get_by_role("link", name="Graph of tried").click()
        task.get_by_role("link", name="candidate").click()
        page.get_by_role("button", name="Discard").click()
        expect(page.get_by_role("status").filter(has_text="The candidate is gone")).to_be_visible()
        expect(page.get_by_role("heading", name="Try other code")).to_be_visible()
    assert call("GET", "/pipelines/tried")["version"] == 1


def what_is_good_is_promoted():
    with signed_in() as page:
        go(page, SHADOW)
        begin(page, lambda definition: definition)
        plan = page.get_by_role("table", name="The plan")
        page.get_by_role("button", name="Promote…").click()
        expect(plan.get_by_role("row", name="labels")).to_contain_text("switched")
        page.get_by_role("button", name="Not now").click()
        expect(plan).to_be_hidden()
        assert call("GET", "/pipelines/tried")["version"] == 1
        page.get_by_role("button", name="Promote…").click()
        page.get_by_role("button", name="Promote it").click()
        expect(page.get_by_role("status").filter(has_text="Version 2 is in force")).to_be_visible()
        expect(page.get_by_role("heading", name="Try other code")).to_be_visible()
        go(page, "#/pipelines/tried/versions")
        versions = page.get_by_role("table", name="The latest first")
        expect(versions.locator("tbody tr").first).to_contain_text("rename-next")
        go(page, SHADOW)
        expect(page.get_by_label("Plugin", exact=True).locator("option:checked")).to_contain_text("runs now")


call("PUT", "/plugins/rename-next", other_bytes("rename"), "application/wasm")
what_differs_is_watched_and_discarded()
what_is_good_is_promoted()
