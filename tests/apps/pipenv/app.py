"""A sample app: Flask, locked by Pipenv."""

import os

from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    return f"Hello from pipenv, release {os.environ.get('RELEASE', '-')}\n"
