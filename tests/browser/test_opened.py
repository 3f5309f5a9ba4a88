"""What the fixture tells of a page; where it is deaf, other tests pass whatever happens."""

from __future__ import annotations

PAGE = """<!doctype html><p>Shown</p><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">
<img src="beside.png"><img src="https://example.org/far.png"><a href="#x">Link</a>
<script>console.warn("a warning"); alert("a dialog"); nothing.at.all</script>"""


def test_a_page_that_does_all_it_should_not(open_page, tmp_path):
    (tmp_path / "page.html").write_text(PAGE)
    opened = open_page(tmp_path / "page.html", viewport={"width": 390, "height": 844})
    assert opened.texts("p") == ["Shown"]
    assert opened.page.evaluate("innerWidth") == 390
    beside = (tmp_path / "beside.png").as_uri()
    assert sorted(opened.requests) == [beside, "https://example.org/far.png"]
    told = "\n".join(opened.complaints)
    for text in ("a warning", "alert: a dialog", "nothing is not defined", "DISCONNECTED"):
        assert text in told
