"""Every page fits on a phone, can be read in light and in dark, and is named for those who listen."""

from console import PAGES, SERVER, console, fail, mended, open_page, replay, signed_in, try_wrong_code

SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# Visible texts whose contrast with what is behind them is below what WCAG 2.2 asks for (AA).
PALE = """() => {
  const parse = color => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = color => parse(color).slice(0, 3).map(value => value / 255)
    .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const behind = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (parse(color)[3] !== 0) return color;
    }
  };
  const pale = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.matches(":disabled")) continue;
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < 4.5) pale.push(`${element.textContent.trim().slice(0, 30)}: ${contrast.toFixed(1)}`);
  }
  return pale;
}"""

# What can be used and has no name, and fields without a label.
NAMELESS = """() => [...document.querySelectorAll("a, button, input, select, textarea, [role=region]")]
  .filter(element => element.checkVisibility())
  .filter(element => !(element.textContent.trim() || element.getAttribute("aria-label") || element.labels?.length))
  .map(element => element.outerHTML)"""


def check(page, where):
    assert page.evaluate(SIDEWAYS) == 0, f"{where} goes sideways"
    pale = page.evaluate(PALE)
    assert not pale, f"{where}: {pale}"
    nameless = page.evaluate(NAMELESS)
    assert not nameless, f"{where}: {nameless}"
    assert page.locator("h1").count() == 1, where


try_wrong_code()
mended()
fail()
for scheme in ("light", "dark"):
    for width, height in ((360, 640), (1280, 800)):
        shape = {"width": width, "height": height, "scheme": scheme}
        with console(**shape) as page:
            page.get_by_label("Token").wait_for()
            check(page, f"signing in, {shape}")
            page.goto(f"{SERVER}/docs")
            page.locator(".operation").first.wait_for()
            check(page, f"the API, {shape}")
        with signed_in(**shape) as page:
            for address in PAGES:
                open_page(page, address)
                if address == "#/pipelines/unruly/dead-letters":
                    replay(page)
                check(page, f"{address}, {shape}")
