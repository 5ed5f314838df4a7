"""A sample app: a page built by Node, served by Python."""

import os
from pathlib import Path

import bottle

app = bottle.Bottle()
page = Path(__file__).parent / "dist" / "page.html"


@app.get("/")
def index():
    return f"{page.read_text()}<p>python-node, release {os.environ.get('RELEASE', '-')}</p>\n"
