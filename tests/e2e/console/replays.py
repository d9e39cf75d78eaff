"""A letter decided once more: what failed is seen again with its stack, and with a mended plugin the row is there."""

from console import expect, fail, mended, open_page, signed_in

LETTERS = "#/pipelines/unruly/dead-letters"


def one_sees_why_and_where(page):
    letter = page.locator(".letter").first
    expect(letter).to_contain_text("plugin hostile-count")
    replay = letter.get_by_role("region", name="Replay")
    expect(replay).to_be_hidden()
    letter.get_by_role("button", name="Replay").click()
    expect(replay.get_by_role("heading", name="Seen again")).to_be_visible()
    expect(replay.get_by_text("failed (trap)")).to_contain_text("a group wants it")
    expect(replay.get_by_text("finish of plugin hostile-count")).to_be_visible()
    stack = replay.get_by_role("region", name="Stack trace")
    expect(stack.get_by_role("listitem").filter(has_text="hostile_count").first).to_be_visible()


def with_another_plugin(page, plugin, verdict):
    replay = page.locator(".letter").first.get_by_role("region", name="Replay")
    replay.get_by_label("With another plugin").select_option(plugin)
    replay.get_by_role("button", name="Try it").focus()
    page.keyboard.press("Enter")
    expect(replay.get_by_role("heading", name=f"With {plugin} it {verdict}")).to_be_visible()
    expect(replay.get_by_role("button", name="Try it")).to_be_focused()
    return replay


def a_mended_plugin_gives_the_row():
    with signed_in() as page:
        open_page(page, LETTERS)
        one_sees_why_and_where(page)
        replay = with_another_plugin(page, "hostile-count", "does not go through")
        expect(replay.get_by_text("failed (trap)")).to_have_count(2)
        replay = with_another_plugin(page, "mended-count", "goes through")
        rows = replay.get_by_role("table", name="Rows: 1")
        expect(rows.locator("tbody tr")).to_have_count(1)
        expect(rows).to_contain_text('"campaignId":"fail finish"')
        expect(rows).to_contain_text("click_count")
        # Nothing was decided on the letter, and nothing of the row went anywhere.
        expect(page.locator(".letter")).to_have_count(1)
        expect(page.locator(".letter").first.get_by_role("button", name="Discard")).to_be_visible()


def what_the_host_decided_is_seen_again():
    fail("no JSON")
    with signed_in() as page:
        open_page(page, LETTERS)
        letter = page.locator(".letter").filter(has_text="decode")
        letter.get_by_role("button", name="Replay").click()
        replay = letter.get_by_role("region", name="Replay")
        expect(replay.get_by_role("heading", name="Seen again")).to_be_visible()
        expect(replay.get_by_text("refused:")).to_be_visible()
        expect(replay.get_by_role("button", name="Try it")).to_have_count(0)


mended()
fail()
a_mended_plugin_gives_the_row()
what_the_host_decided_is_seen_again()
