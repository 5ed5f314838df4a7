"""What a check.py imports as hop3.server.checks, and what starts it.

The interface is that of Hop3 in Python (version 0.7), so that its apps bring
their smoke tests along; the code is not. It needs nothing but the standard
library of Python 3.8 or later: an app has no other packages than its own.
"""

import base64
import html
import http.client
import http.cookiejar
import json
import os
import re
import runpy
import socket
import ssl
import sys
import traceback
import types
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT = 30
MAX_REDIRECTS = 20
MAX_BODY = 8 << 20
BROWSER_REQUIRED_MARKER = "SIGN-IN VERIFIED BY BROWSER"


class CheckError(Exception):
    """An expectation did not hold; its text is for whoever deployed."""


class BrowserRequired(Exception):
    """The app's sign-in needs a browser: nothing was found wrong so far."""


class Admin:
    """A login."""

    def __init__(self, username, email, password):
        self.username, self.email, self.password = username, email, password

    @property
    def identity(self):
        return self.username or self.email


class URL(str):
    """An address, with its parts."""

    @property
    def path(self):
        return urllib.parse.urlsplit(self).path or "/"

    @property
    def host(self):
        return urllib.parse.urlsplit(self).hostname or ""


class Request:
    def __init__(self, method, url):
        self.method, self.url = method, URL(url)


class Response:
    """An answer, read whole."""

    def __init__(self, method, url, answer):
        self.request = Request(method, url)
        self.url = URL(url)
        self.status_code = answer.code
        self.headers = answer.headers
        self.content = answer.read(MAX_BODY)

    @property
    def text(self):
        charset = self.headers.get_content_charset() or "utf-8"
        try:
            return self.content.decode(charset, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.content)

    @property
    def is_redirect(self):
        return self.status_code in (301, 302, 303, 307, 308) and "location" in self.headers

    @property
    def is_success(self):
        return 200 <= self.status_code < 300


class Cookies:
    """The cookies of a session, by name."""

    def __init__(self, jar):
        self.jar = jar

    def get(self, name, default=None):
        for cookie in self.jar:
            if cookie.name == name:
                return cookie.value
        return default

    def keys(self):
        return [cookie.name for cookie in self.jar]


def loopback(host, base, https):
    """A connection class that reaches the app's own name on this machine.

    Its cookies and its certificate go by the name, whatever DNS says.
    """
    name = "HOP3_CHECK_HTTPS_PORT" if https else "HOP3_CHECK_HTTP_PORT"
    port = int(os.environ.get(name) or (443 if https else 80))

    class Connection(base):
        def connect(self):
            own = self.host == host
            address = ("127.0.0.1", port) if own else (self.host, self.port)
            self.sock = socket.create_connection(address, TIMEOUT)
            if https:
                context = ssl.create_default_context()
                if own:  # the certificate may be of the server's own making
                    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                self.sock = context.wrap_socket(self.sock, server_hostname=self.host)

    return Connection


class Client:
    """A session: requests, and the cookies they leave."""

    def __init__(self, host, scheme):
        self.base = scheme + "://" + host
        self.jar = http.cookiejar.CookieJar()
        self.cookies = Cookies(self.jar)

        class HTTP(urllib.request.HTTPHandler):
            def http_open(self, request):
                return self.do_open(loopback(host, http.client.HTTPConnection, False), request)

        class HTTPS(urllib.request.HTTPSHandler):
            def https_open(self, request):
                return self.do_open(loopback(host, http.client.HTTPSConnection, True), request)

        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None

        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), HTTP, HTTPS, Stay, urllib.request.HTTPCookieProcessor(self.jar)
        )

    def request(self, method, path, data=None, json=None, headers=None, params=None, auth=None, follow_redirects=False, content=None, **_):
        url = urllib.parse.urljoin(self.base + "/", path)
        if params:
            url += ("&" if "?" in url else "?") + urllib.parse.urlencode(params, doseq=True)
        headers = {"User-Agent": "hop3-check", **(headers or {})}
        body = content
        if json is not None:
            body = globals()["json"].dumps(json).encode()
            headers.setdefault("Content-Type", "application/json")
        elif data is not None and not isinstance(data, (str, bytes)):
            body = urllib.parse.urlencode(data, doseq=True).encode()
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif data is not None:
            body = data
        if isinstance(body, str):
            body = body.encode()
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = b""
        if auth:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        for _ in range(MAX_REDIRECTS):
            response = self._once(method, url, body, headers)
            if not (follow_redirects and response.is_redirect):
                return response
            url = urllib.parse.urljoin(url, response.headers["location"])
            if response.status_code in (301, 302, 303) and method != "HEAD":
                method, body = "GET", None
                headers = {k: v for k, v in headers.items() if k.lower() != "content-type"}
        raise CheckError("%s %s is redirected without an end" % (method, path))

    def _once(self, method, url, body, headers):
        request = urllib.request.Request(url, data=body, headers=headers, method=method)
        try:
            try:
                answer = self.opener.open(request, timeout=TIMEOUT)
            except urllib.error.HTTPError as e:
                answer = e
            with answer:
                return Response(method, url, answer)
        except (OSError, http.client.HTTPException) as e:
            raise CheckError("%s %s failed to complete: %s" % (method, url, e)) from e

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def close(self):
        pass


def attributes(tag):
    pairs = re.findall(r"""([\w:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", tag)
    return {name.lower(): html.unescape(a or b or c) for name, a, b, c in pairs}


def tags(page, *names):
    text = page if isinstance(page, str) else page.text
    for found in re.finditer(r"<(%s)\b[^>]*>" % "|".join(names), text, re.IGNORECASE):
        yield found.group(1).lower(), attributes(found.group(0))


def beginning(page):
    return repr((page if isinstance(page, str) else page.text)[:200])


class Check:
    """One app's smoke test: a session, and what is expected of it."""

    def __init__(self, host, port=443):
        self.host, self.port = host, port
        scheme = "http" if os.environ.get("HOP3_CHECK_HTTPS_PORT") == "0" else "https"
        self.base_url = scheme + "://" + host
        self.connect_origin = "%s://127.0.0.1:%s" % (scheme, port)
        self.current_step = "starting"
        self.client = Client(host, scheme)
        self._page = self._marker = ""
        self._last_get, self._last_post = "/", None

    def _account(self, kind, missing):
        user, email, password = (os.environ.get("HOP3_%s_%s" % (kind, what), "") for what in ("USER", "EMAIL", "PASSWORD"))
        if not password:
            raise CheckError(missing)
        return Admin(user, email, password)

    @property
    def admin(self):
        return self._account("ADMIN", "there is no admin's login: hop3.toml declares no [admin]")

    @property
    def probe(self):
        return self._account("PROBE", "there is no account for checks: hop3.toml declares no [probe], or it could not be made")

    @property
    def has_probe(self):
        return bool(os.environ.get("HOP3_PROBE_PASSWORD"))

    @property
    def login(self):
        return self.probe if self.has_probe else self.admin

    def step(self, name):
        self.current_step = name
        print("  - " + name, flush=True)

    def get(self, path, **options):
        self._last_get = path
        return self.client.request("GET", path, **options)

    def post(self, path, data=None, **options):
        # Django refuses a form that comes from nowhere.
        headers = dict(options.pop("headers", None) or {})
        headers.setdefault("Referer", urllib.parse.urljoin(self.base_url + "/", self._last_get))
        response = self.client.request("POST", path, data=data, headers=headers, **options)
        self._last_post = (path, response.status_code, response.headers.get("location", ""))
        return response

    def extract(self, source, pattern, what="token"):
        found = re.search(pattern, source if isinstance(source, str) else source.text)
        if not found:
            raise CheckError("the page has no %s (%r); it begins %s" % (what, pattern, beginning(source)))
        return found.group(1)

    def form_token(self, source, name):
        for _, found in tags(source, "input"):
            if found.get("name") == name and "value" in found:
                return found["value"]
        if self.client.cookies.get(name):
            return self.client.cookies.get(name)
        for _, found in tags(source, "meta"):
            if found.get("name") == name and found.get("content"):
                return found["content"]
        raise CheckError("the page has no field %r with a value; it begins %s" % (name, beginning(source)))

    def form_action(self, source, default=""):
        for _, found in tags(source, "form"):
            return found.get("action", "").strip() or default
        return default

    def form_fields(self, source):
        fields, submit = {}, None
        for tag, found in tags(source, "input", "button"):
            kind, name = found.get("type", "").lower(), found.get("name")
            if tag == "input" and kind == "hidden" and name:
                fields[name] = found.get("value", "")
            elif name and not submit and (kind == "submit" or tag == "button" and not kind):
                submit = (name, found.get("value", ""))
        if submit:
            fields.setdefault(*submit)
        return fields

    def expect(self, condition, message):
        if not condition:
            raise CheckError(message)

    def expect_status(self, response, *allowed):
        if response.status_code not in allowed:
            raise CheckError("%s %s answered %d, not %s" % (
                response.request.method, response.request.url.path, response.status_code, " or ".join(map(str, allowed))))
        return response

    def requires_browser(self, reason):
        raise BrowserRequired(reason)

    def signed_in_looks_like(self, path, contains):
        self._page, self._marker = path, contains

    def _signed_in(self):
        if not self._page:
            raise CheckError("the check does not say what being signed in looks like: call c.signed_in_looks_like(path, contains)")
        response = self.client.request("GET", self._page, follow_redirects=True)
        return response.status_code == 200 and self._marker in response.text, response

    def expect_signed_in(self):
        reached, response = self._signed_in()
        if reached:
            return response
        text = "nobody is signed in: %s answered %d from %s without %r; cookies: %s" % (
            self._page, response.status_code, response.url.path, self._marker, sorted(self.client.cookies.keys()) or "none")
        if self._last_post:
            text += "; the POST to %s had answered %d %s" % self._last_post
        raise CheckError(text)

    def expect_sign_in_refused(self, attempt):
        fresh = Check(self.host, self.port)
        fresh.current_step = self.current_step
        fresh.signed_in_looks_like(self._page, self._marker)
        try:
            attempt(fresh)
        except CheckError:
            return
        if fresh._signed_in()[0]:
            raise CheckError("a wrong password signs in, too: %s shows %r" % (self._page, self._marker))

    def close(self):
        self.client.close()


def run(check_fn):
    """What every check.py ends with. It exits with 0 when nothing is wrong."""
    if len(sys.argv) < 2:
        sys.exit("usage: check.py HOST [PORT]")
    check = Check(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 443)
    try:
        check_fn(check)
    except BrowserRequired as e:
        print("%s: %s" % (BROWSER_REQUIRED_MARKER, e), flush=True)
    except CheckError as e:
        sys.exit("FAILED during '%s': %s" % (check.current_step, e))
    except Exception:
        print("ERROR during '%s':" % check.current_step, file=sys.stderr)
        traceback.print_exc()
        sys.exit(1)
    finally:
        check.close()
    print("OK", flush=True)
    sys.exit(0)


def main():
    """Run the program that the arguments begin with, which finds this module."""
    sys.argv = sys.argv[1:]
    try:
        import hop3.server.checks  # the app brings its own
    except ImportError:
        for name in ("hop3", "hop3.server"):
            package = types.ModuleType(name)
            package.__path__ = []
            sys.modules[name] = package
        module = types.ModuleType("hop3.server.checks")
        vars(module).update({name: value for name, value in globals().items() if not name.startswith("__")})
        sys.modules["hop3.server.checks"] = module
        sys.modules["hop3"].server = sys.modules["hop3.server"]
        sys.modules["hop3.server"].checks = module
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
