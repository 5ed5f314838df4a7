"""A sample app: Flask behind gunicorn."""

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return f"Hello from flask, release {os.environ.get('RELEASE', '-')}\n"


@app.get("/health")
def health():
    return "ok\n"
