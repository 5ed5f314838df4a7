package tests

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/abilian/hop3/hop3/hop3test"
)

// TestProxySwitchUnderLoad lets one proxy after the other serve, on a live
// server under constant load, by HTTP and HTTPS, redeploys behind each and
// reloads the server. No request may fail, and no WebSocket break but by such
// a reload.
func TestProxySwitchUnderLoad(t *testing.T) {
	const sockets, perSecond = 4, 160
	s := prepareServer(t)
	s.env = append(s.env, proxyEnv(t)...)
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	dir := loadRepository(t, s, "load")
	if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
		t.Fatal(err)
	}
	if err := s.logIn(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	load, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	var requests, failures, slowest atomic.Int64
	fail := func(format string, args ...any) {
		if failures.Add(1) <= 20 {
			t.Errorf(format, args...)
		}
	}
	for i := range 6 {
		client := s.loadClient(i%2 == 1)
		url := fmt.Sprintf("http://load.localhost:%d/", s.http)
		if i >= 4 {
			url = fmt.Sprintf("https://load.localhost:%d/", s.https)
		}
		all.Go(func() {
			tick := time.NewTicker(6 * time.Second / perSecond)
			defer tick.Stop()
			for {
				select {
				case <-load.Done():
					return
				case <-tick.C:
				}
				started := time.Now()
				if err := fetch(ctx, client, url); err != nil {
					fail("%s: %v", url, err)
				}
				slowest.Store(max(slowest.Load(), int64(time.Since(started))))
				requests.Add(1)
			}
		})
	}
	talk, hush := context.WithCancel(load)
	for range sockets {
		all.Go(func() {
			if err := s.chat(ctx, talk, "load.localhost"); err != nil {
				fail("WebSocket: %v", err)
			}
		})
	}
	version := 1
	set := func(name string) {
		began := time.Now()
		if _, err := s.run(dir, "hop3", "proxy", "set", name); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if told, err := s.run(dir, "hop3", "proxy", "show"); err != nil || !strings.Contains(told, "Proxy: "+name) {
			t.Fatalf("after the switch to %s: %s, %v", name, told, err)
		}
		version++
		if err := s.commit(dir, map[string]string{"version": strconv.Itoa(version) + "\n"}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.run(dir, "git", "push", "hop3", "main"); err != nil {
			t.Fatal(err)
		}
		t.Logf("switched to %s in %.0f ms, and redeployed", name, took.Seconds()*1000)
	}
	for _, name := range append(proxies(t), "caddy") {
		set(name)
	}
	hush() // a reload of the server ends WebSockets
	for _, name := range append(proxies(t), "caddy") {
		set(name)
		if _, err := s.run(dir, "hop3-server", "reload"); err != nil {
			t.Fatal(err)
		}
		t.Logf("reloaded the server behind %s", name)
	}
	stop()
	all.Wait()
	t.Logf("%d requests, %d failures, slowest %.0f ms", requests.Load(), failures.Load(), time.Duration(slowest.Load()).Seconds()*1000)
}

// loadClient is a client that finds every host on the loopback and trusts
// everybody.
func (s *server) loadClient(once bool) *http.Client {
	dialer := &net.Dialer{}
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: once, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
}

// fetch makes one request that must be answered with 200.
func fetch(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if hop3test.NotBegun(err) {
		res, err = client.Do(req)
	}
	if err != nil {
		return err
	}
	return wholeAndOK(res)
}

// proxies are those that can stand in front here.
func proxies(t *testing.T) []string {
	t.Helper()
	names := []string{"nginx"}
	if hop3test.TraefikBinary(t) != "" {
		names = append(names, "traefik")
	}
	return names
}

// proxyEnv tells the server where Traefik is.
func proxyEnv(t *testing.T) []string {
	t.Helper()
	binary := hop3test.TraefikBinary(t)
	if binary == "" {
		return nil
	}
	return []string{"TRAEFIK_BIN=" + binary}
}
