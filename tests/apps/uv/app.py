"""A sample app: Bottle, locked by uv, served by the gunicorn Hop3 adds."""

import os

import bottle

app = bottle.Bottle()


@app.get("/")
def index():
    bottle.response.content_type = "text/plain; charset=utf-8"
    return f"Hello from uv, release {os.environ.get('RELEASE', '-')}\n"
