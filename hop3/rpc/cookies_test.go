package rpc_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// An app can set a cookie for the whole domain, and so for us. By HTTPS our own
// has a name that browsers take from no other host, and another one proves
// nothing.
func TestACookieOfANeighbourIsNoLogin(t *testing.T) {
	w := newWorld(t)
	w.handler.OverTLS = func(*http.Request) bool { return true }
	call := func(method, path string, fields url.Values, cookie string) *http.Response {
		t.Helper()
		req := httptest.NewRequest(method, "https://hop3.example.org"+path, strings.NewReader(fields.Encode()))
		if fields != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if cookie != "" {
			req.Header.Set("Cookie", cookie)
		}
		answer := httptest.NewRecorder()
		w.handler.ServeHTTP(answer, req)
		return answer.Result()
	}
	resp := call("POST", "/auth/login", form("username", "alice", "password", password), "")
	if len(resp.Cookies()) != 1 {
		t.Fatalf("%s, %v", resp.Status, resp.Cookies())
	}
	c := resp.Cookies()[0]
	if c.Name != "__Host-hop3_auth" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("the cookie is %v", c)
	}
	if resp := call("GET", "/auth/profile", nil, c.Name+"="+c.Value); resp.StatusCode != http.StatusOK {
		t.Errorf("our own cookie: %s", resp.Status)
	}
	for _, cookie := range []string{"hop3_auth=" + w.user, c.Name + "=" + c.Value + "; " + c.Name + "=" + w.user} {
		if resp := call("GET", "/auth/profile", nil, cookie); resp.StatusCode != http.StatusSeeOther {
			t.Errorf("a neighbour's cookie logs in: %s", resp.Status)
		}
	}
}
