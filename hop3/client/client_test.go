package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/api"
)

func newClient(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := New(Config{URL: server.URL + "/", Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnArchiveIsSentWhole(t *testing.T) {
	for _, size := range []int{0, 1, 2, 3, 48<<10 - 1, 48 << 10, 48<<10 + 1, 1 << 20} {
		content := bytes.Repeat([]byte{0xfb, 1}, size)[:size]
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || int64(len(body)) != r.ContentLength || r.Header.Get("Authorization") != "Bearer secret" || r.URL.Path != "/rpc" {
				t.Errorf("%d bytes of %d came, %v", len(body), r.ContentLength, err)
			}
			var req api.Request
			if err := json.Unmarshal(body, &req); err != nil {
				t.Error(err)
			}
			if got, err := base64.StdEncoding.DecodeString(req.Params.Extra.Repository); err != nil || !bytes.Equal(got, content) {
				t.Errorf("the archive is not the one sent: %v", err)
			}
			if strings.Join(req.Params.Args, " ") != "deploy "+placeholder {
				t.Errorf("the arguments are %q", req.Params.Args)
			}
			fmt.Fprint(w, `{"jsonrpc":"2.0","result":[{"t":"text","text":"ok"}],"id":1}`)
		})
		res, err := c.Call(t.Context(), []string{"deploy", placeholder}, api.Extra{Streaming: true}, &Archive{Content: bytes.NewReader(content), Size: int64(size)})
		if err != nil || len(res.Items) != 1 || res.Items[0].Text != "ok" {
			t.Errorf("%+v, %v", res, err)
		}
	}
}

func TestErrorsHaveAnExitStatus(t *testing.T) {
	for answer, want := range map[string]int{
		`{"error":{"code":404,"message":"App 'x' not found."},"id":1}`:                                      api.ExitNotFound,
		`{"error":{"code":-32602,"message":"Command execution failed: Usage: x"},"id":1}`:                   api.ExitUsage,
		`{"error":{"code":-32000,"message":"App 'x' already exists."},"id":1}`:                              api.ExitConflict,
		`{"error":{"code":-32001,"message":"LOGS:[{\"t\":\"log\",\"msg\":\"a\"}]|||Deploy failed"},"id":1}`: api.ExitDeploy,
		`no JSON`:       api.ExitGeneral,
		`{"id":1}`:      api.ExitGeneral,
		`{"result":{}}`: api.ExitGeneral,
	} {
		c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, answer) })
		_, err := c.Call(t.Context(), []string{"x"}, api.Extra{}, nil)
		var e *Error
		if !errors.As(err, &e) || e.Exit() != want || strings.Contains(e.Message, "|||") || strings.HasPrefix(e.Message, "Command execution") {
			t.Errorf("%s: %v, want exit %d", answer, err, want)
		}
	}
	nobody, err := New(Config{URL: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	var gone *Unreachable
	if _, err := nobody.Call(t.Context(), nil, api.Extra{}, nil); !errors.As(err, &gone) {
		t.Errorf("%v, want Unreachable", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	if _, err := c.Call(t.Context(), nil, api.Extra{}, nil); err == nil || !strings.Contains(err.Error(), "/elsewhere") {
		t.Errorf("%v", err)
	}
}

func TestABrokenStreamIsTakenUpWhereItWas(t *testing.T) {
	calls := 0
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		switch id := r.Header.Get("Last-Event-ID"); id {
		case "":
			fmt.Fprint(w, "event: log\nid: 0\ndata: {\"msg\":\"one\"}\n\n: keepalive\n\nevent: log\nid: 1\ndata: {\"ms")
		case "0":
			fmt.Fprint(w, "event: log\nid: 1\ndata: {\"msg\":\"two\"}\n\nevent: complete\nid: 2\ndata: {\"success\":true,\"duration\":1.5}\n\n")
		default:
			t.Errorf("came back with id %q", id)
		}
	})
	var got []string
	done, err := c.FollowDeploy(t.Context(), "id", func(l api.LogEvent) { got = append(got, l.Msg) })
	if err != nil || !done.Success || done.Duration != 1.5 || calls != 2 || strings.Join(got, " ") != "one two" {
		t.Errorf("%+v, %v, %d calls, lines %q", done, err, calls, got)
	}
}

func TestWhoInterruptsIsNotKeptWaiting(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "event: log\nid: 0\ndata: {\"msg\":\"one\"}\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	if _, err := c.FollowDeploy(ctx, "id", func(api.LogEvent) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestACertificateOfOurOwn(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"jsonrpc":"2.0","result":[],"id":1}`)
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		config Config
		works  bool
	}{
		"the system's": {Config{URL: server.URL}, false},
		"ssl_cert":     {Config{URL: server.URL, CAFile: file}, true},
		"verify_ssl":   {Config{URL: server.URL, Insecure: true}, true},
	} {
		c, err := New(tt.config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(t.Context(), nil, api.Extra{}, nil); (err == nil) != tt.works {
			t.Errorf("%s: %v", name, err)
		}
	}
}
