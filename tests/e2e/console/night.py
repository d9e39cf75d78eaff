"""What one sees first: which pipeline somebody has to look at, and why."""

from console import call, expect, rows, send, signed_in

# Every row is refused: a name is no number.
REFUSES = "columns: { other: { from: other, cast: int64 },"

TREND = """async () => {
  const { Trends } = await import("/console/trends.js");
  const of = numbers => { const trends = new Trends(); return numbers.map(number => trends.take("shop", number)).at(-1); };
  return [of([5, 5, 6, 5, 5, 6]), of([5, 20, 40, 80, 120, 300]), of([300, 200, 100, 20, 4, 0]), of([0, 900])];
}"""


def what_was_refused_is_counted(page):
    send("rows", ["no JSON"])
    letters = page.get_by_role("listitem").filter(has_text="tried").locator('[data-fact="dead letters"]')
    expect(letters).to_have_text("1")
    letters.get_by_role("link").click()
    expect(page.get_by_role("heading", name="Dead letters of tried")).to_be_visible()
    page.go_back()


def a_version_that_was_gone_back_from_is_told(page):
    cards = page.locator(".cards > li")
    expect(cards.first).to_contain_text("counted")
    text = call("GET", "/pipelines/tried")["definition"]["text"]
    call("PUT", "/pipelines/tried", text.replace("columns: {", REFUSES).encode())
    while call("GET", "/pipelines/tried")["version"] < 3:
        send("rows", rows(0, 200))
        page.wait_for_timeout(200)
    expect(cards.first).to_contain_text("back to version 1 by itself, because of version 2")
    expect(cards.first).to_contain_text("version 3 since")
    expect(cards.first.locator('[data-fact="lag"]')).to_have_text("0")
    cards.first.get_by_role("link", name="Versions").click()
    expect(page.get_by_role("table", name="The latest first").locator("tbody tr")).to_have_count(3)


def a_lag_that_grows_is_told(page):
    assert page.evaluate(TREND) == ["", "growing", "shrinking", ""]


with signed_in() as page:
    what_was_refused_is_counted(page)
    a_version_that_was_gone_back_from_is_told(page)
    a_lag_that_grows_is_told(page)
