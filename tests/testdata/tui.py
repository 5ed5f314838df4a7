"""Drives the client of the released hop3-tui as its screens do: the app `blog`
runs, and is given a variable, stopped, started and deleted."""

import asyncio
import os

from hop3_tui.api.client import Hop3Client, Hop3ClientError
from hop3_tui.api.models import AppState


async def main():
    client = Hop3Client(base_url=os.environ["HOP3_API_URL"], token=os.environ["TOKEN"])

    (app,) = await client.list_apps()
    assert (app.name, app.state, app.workers) == ("blog", AppState.RUNNING, 1), app
    app = await client.get_app("blog")
    assert (app.state, app.hostname) == (AppState.RUNNING, "blog.localhost"), app

    await client.set_env_var("blog", "COLOUR", "blue")
    await client.set_env_var("blog", "API_TOKEN", "abcdefghijkl")
    shown = {v.name: v.value for v in await client.get_env_vars("blog")}
    assert shown["COLOUR"] == "blue", shown
    assert "abcdefghijkl" not in shown["API_TOKEN"], shown
    shown = {v.name: v.value for v in await client.get_env_vars("blog", show_secrets=True)}
    assert shown["API_TOKEN"] == "abcdefghijkl", shown
    await client.delete_env_var("blog", "COLOUR")
    assert "COLOUR" not in {v.name for v in await client.get_env_vars("blog")}

    assert await client.get_processes("blog") == [{"type": "web", "count": 1}]
    assert any("hello from the app" in line for line in await client.get_app_logs("blog", lines=8))

    await client.restart_app("blog")
    await client.stop_app("blog")
    (app,) = await client.list_apps()
    assert app.state == AppState.STOPPED, app
    assert (await client.get_app("blog")).state == AppState.STOPPED
    await client.start_app("blog")
    assert (await client.get_app("blog")).state == AppState.RUNNING

    # An error is its sentence, not a status of HTTP.
    try:
        await client.restart_app("nothere")
        raise AssertionError("an app that is not there was restarted")
    except Hop3ClientError as error:
        assert "nothere" in str(error) and "HTTP" not in str(error), error

    await client.delete_app("blog")
    assert await client.list_apps() == []


asyncio.run(main())
