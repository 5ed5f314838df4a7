package rfc2136

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/libdns/libdns"
	"github.com/miekg/dns"
)

const key = "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvbmx5IQ=="

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		p    Provider
		want []string
	}{
		{Provider{}, []string{"server is missing", "key_name is missing", "key is not a key"}},
		{Provider{Server: ":53", KeyName: "k", Key: key}, []string{"not an address with a port"}},
		{Provider{Server: "a:53", KeyName: "k", Key: "secret!"}, []string{"key is not a key"}},
		{Provider{Server: "a:53", KeyName: "k", Key: key, KeyAlg: "md5"}, []string{"hmac-sha512"}},
	} {
		err := c.p.Provision(caddy.Context{})
		if err == nil {
			t.Errorf("%+v is accepted", c.p)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret!") {
				t.Errorf("%+v: %v", c.p, err)
			}
		}
	}
	for given, want := range map[string]string{"ns.example.org": "ns.example.org:53", "192.0.2.1": "192.0.2.1:53", "2001:db8::1": "[2001:db8::1]:53", "[2001:db8::1]:54": "[2001:db8::1]:54"} {
		p := Provider{Server: given, KeyName: "k", Key: key}
		if err := p.Provision(caddy.Context{}); err != nil || p.Server != want {
			t.Errorf("%s is %s, %v", given, p.Server, err)
		}
	}
}

// nameServer answers updates as the test says. A real one is in the tests of
// the whole server; this one shows what none refuses.
func nameServer(t *testing.T, answer func(m *dns.Msg, signed error) int) *Provider {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, TsigSecret: map[string]string{"hop3.": key}, MsgAcceptFunc: func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept },
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
			reply := new(dns.Msg).SetRcode(m, answer(m, w.TsigStatus()))
			reply.SetTsig("hop3.", dns.HmacSHA256, 300, time.Now().Unix())
			_ = w.WriteMsg(reply)
		})}
	done := make(chan error, 1)
	go func() { done <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-done
	})
	p := &Provider{Server: l.Addr().String(), KeyName: "Hop3", Key: key}
	if err := p.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestUpdates(t *testing.T) {
	var got []string
	p := nameServer(t, func(m *dns.Msg, signed error) int {
		if signed != nil || m.IsTsig() == nil {
			return dns.RcodeNotAuth
		}
		for _, r := range m.Ns {
			got = append(got, strings.ReplaceAll(r.String(), "\t", " "))
		}
		return dns.RcodeSuccess
	})
	long := strings.Repeat("x", 300)
	records := []libdns.Record{
		libdns.TXT{Name: "_acme-challenge.www", TTL: time.Minute, Text: `a"b`}, libdns.TXT{Name: "long", Text: long},
	}
	if _, err := p.AppendRecords(t.Context(), "example.org.", records); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DeleteRecords(t.Context(), "example.org.", records[:1]); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`_acme-challenge.www.example.org. 60 IN TXT "a\"b"`,
		`long.example.org. 0 IN TXT "` + long[:255] + `" "` + long[255:] + `"`,
		`_acme-challenge.www.example.org. 0 NONE TXT "a\"b"`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the updates are\n%s", strings.Join(got, "\n"))
	}
}

func TestRefusals(t *testing.T) {
	p := nameServer(t, func(*dns.Msg, error) int { return dns.RcodeRefused })
	_, err := p.AppendRecords(t.Context(), "example.org.", []libdns.Record{libdns.TXT{Name: "x", Text: "y"}})
	if err == nil || !strings.Contains(err.Error(), "the key may not update it") || strings.Contains(err.Error(), key) {
		t.Errorf("the error is %v", err)
	}
	_, err = p.AppendRecords(t.Context(), "example.org.", []libdns.Record{libdns.RR{Name: "x", Type: "A", Data: "no\nsuch"}})
	if err == nil {
		t.Error("a record that is none is sent")
	}
}
