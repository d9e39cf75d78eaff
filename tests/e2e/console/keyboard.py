"""Everything can be reached and used by keyboard, and one sees where one is."""

from console import PAGES, TOKEN, console, expect, fail, mended, open_page, replay, signed_in, try_wrong_code

# What can be used on the page and is seen.
USABLE = """() => [...document.querySelectorAll("a[href], button, input, select, textarea, [tabindex='0']")]
  .filter(element => element.checkVisibility() && !element.disabled).length"""

HERE = """() => {
  const at = document.activeElement;
  if (!at || at === document.body) return null;
  if (!at.dataset.met) at.dataset.met = String(document.querySelectorAll("[data-met]").length + 1);
  const { outlineStyle, outlineWidth } = getComputedStyle(at);
  return { met: at.dataset.met, isSeen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2, html: at.outerHTML.slice(0, 120) };
}"""


def reaches_everything():
    with signed_in() as page:
        for address in PAGES:
            open_page(page, address)
            if address == "#/pipelines/unruly/dead-letters":
                replay(page)
            page.evaluate("document.activeElement?.blur()")
            usable = page.evaluate(USABLE)
            met = set()
            for _ in range(usable * 2):
                page.keyboard.press("Tab")
                here = page.evaluate(HERE)
                if here:
                    assert here["isSeen"], f"{address}: one does not see that one is on {here['html']}"
                    met.add(here["met"])
            assert len(met) >= usable, f"{address}: {len(met)} of {usable} are reached"
            page.evaluate("for (const met of document.querySelectorAll('[data-met]')) delete met.dataset.met")


def goes_without_a_mouse():
    with console() as page:
        expect(page.get_by_label("Token")).to_be_focused()
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Pipelines")).to_be_visible()
        expect(page.get_by_role("link", name="counted")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="counted")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="counted", exact=True)).to_be_focused()


def tries_without_a_mouse():
    with signed_in() as page:
        open_page(page, "#/pipelines/counted/steps/kept/shadow")
        page.get_by_label("Share of the rows").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="A candidate works beside kept")).to_be_focused()
        page.get_by_role("button", name="Discard").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Try other code")).to_be_focused()


try_wrong_code()
mended()
fail()
reaches_everything()
goes_without_a_mouse()
tries_without_a_mouse()
