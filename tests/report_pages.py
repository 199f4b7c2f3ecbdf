"""Reads the pages of reports."""

from html.parser import HTMLParser


class PageReader(HTMLParser):
    """Tags, links, texts and rows of tables of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.links, self.texts, self.rows = [], [], [], []
        self._in_row = False
        self.text = path.read_text("utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
            self._in_row = True

    def handle_endtag(self, tag):
        self._in_row &= tag != "tr"

    def handle_data(self, data):
        self.texts.append(data)
        if self._in_row and data.strip():
            self.rows[-1].append(data.strip())
