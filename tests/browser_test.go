package tests

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// newBrowser runs a Chromium that finds every name on this machine, and trusts
// the authority whose root is in the file: as where an administrator has
// installed it.
func newBrowser(t *testing.T, rootFile string) context.Context {
	t.Helper()
	for _, program := range []string{"chromium", "certutil"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip("chromium is not installed; tests/run installs it")
		}
	}
	home := t.TempDir()
	database := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(database, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-N", "-d", "sql:" + database, "--empty-password"},
		{"-A", "-d", "sql:" + database, "-n", "hop3", "-t", "C,,", "-i", rootFile},
	} {
		if out, err := exec.Command("certutil", args...).CombinedOutput(); err != nil {
			t.Fatalf("certutil: %v\n%s", err, out)
		}
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.Env("HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home),
		chromedp.NoSandbox, // as root it has none
		chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
	)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel) // waits until it has ended
	return ctx
}

// A browser comes by http, is sent to https, trusts the certificate by its
// chain, speaks HTTP/2, and talks by a WebSocket and server-sent events.
func TestABrowserUsesAnApp(t *testing.T) {
	t.Parallel()
	s := startServerWith(t, "ACME_ENGINE=self-signed")
	ctx := newBrowser(t, filepath.Join(s.home, "caddy", "pki", "authorities", "local", "root.crt"))
	dir := loadRepository(t, s, "shop")
	if err := s.commit(dir, map[string]string{"hop3.toml": "[domains]\nlist = [\"www.shop.example.com\"]\n"}); err != nil {
		t.Fatal(err)
	}
	if out, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	err := chromedp.Do(ctx, chromedp.Navigate(fmt.Sprintf("http://www.shop.example.com:%d/page?from=http", s.http)), chromedp.WaitReady("#done"))
	seen := map[string]string{}
	for _, id := range []string{"address", "protocol", "socket", "events"} {
		text, failed := chromedp.Run(ctx, chromedp.TextContent("#"+id))
		if err = errors.Join(err, failed); failed != nil {
			break
		}
		seen[id] = text
	}
	if err != nil {
		t.Fatalf("%v; the page has %q", err, seen)
	}
	if want := fmt.Sprintf("https://www.shop.example.com:%d/page?from=http", s.https); seen["address"] != want {
		t.Errorf("it is at %s, not at %s", seen["address"], want)
	}
	if seen["protocol"] != "h2" || seen["socket"] != "hello by https:" || seen["events"] != "event 1;event 2;event 3;" {
		t.Errorf("the page has %q", seen)
	}
	// It does not trust whatever it is shown.
	other := httptest.NewTLSServer(http.NotFoundHandler())
	defer other.Close()
	if err := chromedp.Do(ctx, chromedp.Navigate(other.URL)); err == nil || !strings.Contains(err.Error(), "ERR_CERT_AUTHORITY_INVALID") {
		t.Errorf("a certificate by nobody: %v", err)
	}
}
