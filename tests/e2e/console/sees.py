"""What a person sees and does: rates that move, a step's live rows, what was refused, what plugins get, who changed what,
and other code for what runs."""

from console import clicks, console, expect, open_page, other_bytes, send, signed_in


def signs_in():
    with console() as page:
        page.get_by_label("Token").fill("wrong-0123456789abcdef")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("does not know this token")
    with signed_in() as page:
        expect(page.get_by_text("deployer, deployer")).to_be_visible()
        page.reload()
        expect(page.get_by_role("heading", name="Pipelines")).to_be_visible()
        assert page.evaluate("Object.keys(localStorage).length") == 0
        assert page.evaluate("document.cookie") == ""
        page.get_by_role("button", name="Forget token").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def rates_move():
    with signed_in() as page:
        page.get_by_role("link", name="counted").click()
        task = page.locator('[data-id="task/kept_out"]')
        rate = task.locator('[data-fact="records"]')
        expect(rate).to_have_text("0/s")
        # A rate stands for a second, which a look at the page may miss.
        while rate.inner_text() == "0/s":
            send("clicks_in", clicks(1_000))
            page.wait_for_timeout(200)
        expect(rate).to_have_text("0/s")
        expect(task.locator('[data-fact="lag"]')).to_have_text("0")
        assert page.locator(".lines path").count() > 4
        points = task.locator("polyline").get_attribute("points").split()
        assert len({point.split(",")[1] for point in points}) > 1, points


def rows_come():
    with signed_in() as page:
        open_page(page, "#/pipelines/counted")
        page.locator('[data-id="task/kept_out"]').get_by_role("link", name="kept").click()
        expect(page.get_by_text("Waiting for rows")).to_be_visible()
        expect(page.get_by_text("Plugin filter reads")).to_be_visible()
        table = page.get_by_role("table")
        # Somebody listens once the page has asked; what came before is not shown.
        while not table.locator("tbody tr").count():
            send("clicks_in", clicks(8))
            page.wait_for_timeout(200)
        expect(table.locator("tbody")).to_contain_text("campaign_3")
        assert "shop.example" not in table.inner_text(), "personal data is masked"
        page.get_by_role("button", name="Hold").click()
        held = table.inner_text()
        send("clicks_in", clicks(8))
        page.wait_for_timeout(600)
        assert table.inner_text() == held


def letters_are_counted():
    with signed_in() as page:
        send("clicks_in", ["no JSON", "no JSON either"])
        open_page(page, "#/pipelines/counted")
        letters = page.locator('[data-id="task/kept_out"] [data-fact="dead letters"]')
        expect(letters).to_have_text("2")
        letters.get_by_role("link").click()
        expect(page.get_by_role("heading", name="Dead letters of counted")).to_be_visible()


def letters_are_decided_on():
    with signed_in() as page:
        open_page(page, "#/pipelines/counted/dead-letters")
        letters = page.locator(".letter")
        expect(letters.nth(1)).to_be_visible()
        before = letters.count()
        letters.first.get_by_text("The letter").click()
        expect(letters.first.get_by_label("The letter")).to_contain_text('"cause": "decode"')
        letters.first.get_by_role("button", name="Discard").click()
        expect(letters).to_have_count(before - 1)
        page.get_by_label("Show those that were decided on").check()
        expect(letters.filter(has_text="discarded")).to_contain_text("by deployer")


def what_was_put_back_is_read_again():
    with signed_in() as page:
        open_page(page, "#/pipelines/counted/dead-letters")
        page.locator(".letter").first.get_by_role("button", name="Retry").click()
        page.get_by_label("Show those that were decided on").check()
        expect(page.locator(".letter").filter(has_text="retried").first).to_be_visible()


def a_plugin_is_swapped_and_taken_back():
    longer = {"name": "filter.wasm", "mimeType": "application/wasm", "buffer": other_bytes("filter")}
    with signed_in() as page:
        open_page(page, "#/pipelines/counted/versions")
        page.get_by_label("Plugin", exact=True).select_option("filter")
        page.get_by_label("Its new code").set_input_files(longer)
        page.get_by_role("button", name="Plan the change").click()
        plan = page.get_by_role("table", name="The plan")
        expect(plan.get_by_role("row", name="kept_out")).to_contain_text("switched")
        expect(plan.get_by_role("row", name="warehouse")).to_contain_text("untouched")
        page.get_by_role("button", name="Make the change").click()
        expect(page.get_by_role("status").filter(has_text="Version 2 is in force")).to_be_visible()
        versions = page.get_by_role("table", name="The latest first")
        expect(versions.locator("tbody tr")).to_have_count(2)
        page.get_by_role("button", name="Go back to version 1").click()
        expect(page.get_by_role("status").filter(has_text="Version 3 is in force")).to_be_visible()
        expect(versions.locator("tbody tr").first).to_contain_text("back to version 1")


def plugins_and_changes():
    with signed_in() as page:
        open_page(page, "#/plugins")
        grants = page.get_by_role("table", name="Columns that enter the sandbox")
        expect(grants.get_by_role("row", name="filter")).to_contain_text("campaignId")
        expect(page.get_by_role("table", name="Uploaded plugins")).to_contain_text("click-count")
        open_page(page, "#/changes")
        expect(page.get_by_role("table")).to_contain_text("PUT /pipelines/counted")


signs_in()
rates_move()
rows_come()
letters_are_counted()
letters_are_decided_on()
what_was_put_back_is_read_again()
plugins_and_changes()
a_plugin_is_swapped_and_taken_back()
