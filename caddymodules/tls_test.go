package caddymodules

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"testing"

	"github.com/abilian/hop3/hop3"
)

// handshake asks the server for a certificate for a name.
func (s *server) handshake(name string) (*tls.ConnectionState, error) {
	c, err := tls.Dial("tcp", fmt.Sprintf("%s:%d", s.address, s.options.HTTPSPort), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	state := c.ConnectionState()
	return &state, nil
}

func TestLocalNamesGetACertificateOfOurOwn(t *testing.T) {
	s := startServer(t)
	hosts := []string{"a.localhost", "a.b.localhost", "a.b.c.d.localhost", "bare", "blog.test", "x.y.internal", "nas.local", "pi.home.arpa", "localhost"}
	s.set(hop3.Route{App: "blog", Release: 1, Hosts: hosts, Upstreams: []string{backend(t, says("ok"))}})
	for _, host := range hosts {
		state, err := s.handshake(host)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if err := state.PeerCertificates[0].VerifyHostname(host); err != nil {
			t.Error(err)
		}
		a := s.get("https://" + host + "/")
		if a.StatusCode != 200 || a.ProtoMajor != 2 {
			t.Errorf("%s: %s %s", host, a.Proto, a.Status)
		}
	}
}

func TestOnlyListedNamesGetACertificate(t *testing.T) {
	s := startServer(t)
	s.set(hop3.Route{App: "blog", Release: 1, Hosts: []string{"blog.localhost", "*.wild.localhost"}, Upstreams: []string{"127.0.0.1:1"}})
	for _, name := range []string{"unknown.localhost", "a.wild.localhost", "wild.localhost", ""} {
		if _, err := s.handshake(name); err == nil {
			t.Errorf("a handshake for %q succeeded", name)
		}
	}
	if _, err := s.handshake("blog.localhost"); err != nil {
		t.Error(err)
	}
}

func TestAConnectionForOneAppDoesNotReachAnother(t *testing.T) {
	s := startServer(t)
	s.set(upstreams("blog", 1, "blog.localhost", backend(t, says("blog"))))
	s.set(upstreams("shop", 1, "shop.localhost", backend(t, says("shop"))))
	if a := s.get("https://blog.localhost/", "Host", "shop.localhost"); a.StatusCode != http.StatusMisdirectedRequest {
		t.Fatalf("%s %q", a.Status, a.text)
	}
	if a := s.get("https://blog.localhost/", "Host", "BLOG.localhost:8443"); a.text != "blog" {
		t.Fatalf("%s %q", a.Status, a.text)
	}
}
